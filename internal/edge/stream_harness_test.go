package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// stream is what stands behind a stream: it hands what its client does over to the test, which answers.
type stream struct {
	from   edge.Caller
	login  edge.Login
	client edge.StreamClient

	sends  chan sent
	acks   chan acked
	closes atomic.Int32
	closed chan struct{} // at the first Close
}

type sent struct {
	ref uint64
	edge.StreamMessage
}

type acked struct {
	ref     uint64
	mailbox chat.Mailbox
	seq     chat.Seq
}

func newStream(from edge.Caller, l edge.Login, client edge.StreamClient) *stream {
	return &stream{from: from, login: l, client: client,
		sends: make(chan sent, 2048), acks: make(chan acked, 2048), closed: make(chan struct{})}
}

func (s *stream) Send(ref uint64, m edge.StreamMessage) { s.sends <- sent{ref, m} }

func (s *stream) Ack(ref uint64, mailbox chat.Mailbox, seq chat.Seq) {
	s.acks <- acked{ref, mailbox, seq}
}

func (s *stream) Close() {
	if s.closes.Add(1) == 1 {
		close(s.closed)
	}
}

// streamClient is a client of version 2. Frames are as they stand in the specification, so tests write them out.
type streamClient struct {
	net.Conn
	in *bufio.Reader
}

func newStreamClient(conn net.Conn) *streamClient { return &streamClient{conn, bufio.NewReader(conn)} }

// stream connects; nothing is said yet.
func (n *node) stream(t testing.TB) *streamClient {
	t.Helper()
	return newStreamClient(n.dial(t))
}

// logIn opens alice's stream, and returns both of its ends.
func (n *node) logIn(t testing.TB) (*streamClient, *stream) {
	t.Helper()
	c := n.stream(t)
	c.say(t, "poll;v=2;id=in;dev=phone:alice:secret:0\n")
	c.want(t, "ok;id=in\n")
	return c, receive(t, "the login", n.logins)
}

func (c *streamClient) say(t testing.TB, frames ...string) {
	t.Helper()
	if _, err := io.WriteString(c, strings.Join(frames, "")); err != nil {
		t.Fatal(err)
	}
}

// want reads what must come next, to the byte.
func (c *streamClient) want(t testing.TB, frames ...string) {
	t.Helper()
	want := strings.Join(frames, "")
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.in, got)
	if string(got[:n]) != want || err != nil {
		t.Fatalf("the client is told %q, %v; want %q", got[:n], err, want)
	}
}

// wantErr reads an err with this id and code.
func (c *streamClient) wantErr(t testing.TB, id string, code chat.Code) {
	t.Helper()
	line, err := c.in.ReadString('\n')
	prefix := "err:"
	if id != "" {
		prefix = "err;id=" + id + ":"
	}
	if err != nil || !strings.HasPrefix(line, prefix+string(code)+":") {
		t.Fatalf("the client is told %q, %v; want %s%s:…", line, err, prefix, code)
	}
	if strings.Contains(line, "secret") {
		t.Errorf("the client's password is in %q", line)
	}
}

// wantEnd checks that the connection ends in order, with nothing more on it.
func (c *streamClient) wantEnd(t testing.TB) {
	t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		t.Fatalf("instead of the end the client is told %q, %v", rest, err)
	}
}

// wantPong makes sure that the stream goes on, and that what was said so far has been read.
func (c *streamClient) wantPong(t testing.TB) {
	t.Helper()
	c.say(t, "ping;id=still\n")
	c.want(t, "pong;id=still\n")
}

func (c *streamClient) halfClose(t testing.TB) {
	t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// wantClosed waits for the Close of a stream, which must be the only one.
func (s *stream) wantClosed(t testing.TB) {
	t.Helper()
	receive(t, "the stream's Close", s.closed)
	if n := s.closes.Load(); n != 1 {
		t.Errorf("the stream was closed %d times", n)
	}
}

// wantEnds waits until streams have ended for a reason so often, and none is open.
func (n *node) wantEnds(t testing.TB, reason string, want float64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v streams ended as %s", want, reason), func() bool {
		return testutil.ToFloat64(n.metrics.StreamEnds.WithLabelValues(reason)) == want
	})
	eventually(t, "no stream is counted as open", func() bool { return testutil.ToFloat64(n.metrics.Streams) == 0 })
	if reasons := testutil.CollectAndCount(n.metrics.StreamEnds); reasons != 1 {
		t.Errorf("the ends are counted under %d reasons", reasons)
	}
}

// wrmsg is a send with an id.
func wrmsg(id, to, text string) string {
	return string(wire.AppendSend(nil, wire.Wrmsg{ID: chat.MessageID(id), To: chat.Mailbox(to), Text: []byte(text)}))
}

// message is one from bob to a mailbox.
func message(to chat.Mailbox, seq chat.Seq, text string) chat.Message {
	return chat.Message{Seq: seq, ID: "m", From: "bob", FromName: "Bob", To: to, Text: []byte(text), Sent: time.Unix(1, 0)}
}

// newmsg is how a client is told of it.
func newmsg(to chat.Mailbox, seq chat.Seq, text string) string {
	return fmt.Sprintf("newmsg;id=m;to=%s;seq=%d;len=%d:1:Bob:bob:%s\n", to, seq, len(text), text)
}
