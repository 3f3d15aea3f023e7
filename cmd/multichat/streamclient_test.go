package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// streamClient speaks version 2 over a plain socket, and imports nothing of multichat. It keeps what it is sent and, unless
// it is told not to, acknowledges each message.
type streamClient struct {
	user   string
	conn   net.Conn
	silent bool // acknowledges nothing

	writing sync.Mutex

	mu      sync.Mutex
	got     []streamed
	replies map[string]string // by id: the whole line
	leaving bool              // it was told bye
	ended   error             // why nothing more is read
	news    chan struct{}     // closed, and made anew, whenever something was read
	done    chan struct{}
}

// streamed is a newmsg of version 2.
type streamed struct {
	id, mailbox, from, text string
	seq                     int64
	at                      time.Time
}

// dialStream connects from an address of the client's own.
func dialStream(ip, addr string, config *tls.Config) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 0)), Timeout: 2 * time.Second}
	if config != nil {
		return tls.DialWithDialer(&dialer, "tcp", addr, config)
	}
	return dialer.Dial("tcp", addr)
}

// startStream logs in as a device of a user, and wants that to be ok.
func startStream(t testing.TB, user, device, ip, addr string) *streamClient {
	t.Helper()
	conn, err := dialStream(ip, addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	return startStreamOn(t, conn, user, device, "demo", false)
}

func startStreamOn(t testing.TB, conn net.Conn, user, device, password string, silent bool) *streamClient {
	t.Helper()
	c, err := logIn(conn, user, "dev="+device, password, silent)
	t.Cleanup(c.close)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// logIn logs in with an attribute more than there must be. The stream is to be closed, after an error too.
func logIn(conn net.Conn, user, attribute, password string, silent bool) (*streamClient, error) {
	c := &streamClient{user: user, conn: conn, silent: silent, replies: make(map[string]string),
		news: make(chan struct{}), done: make(chan struct{})}
	go c.read()
	c.write("poll;v=2;id=in;" + attribute + ":" + user + ":" + password + ":0\n")
	reply, err := c.awaitReply("in", 15*time.Second)
	if err == nil && reply != "ok;id=in" {
		err = fmt.Errorf("%s logs in and is answered %q", user, reply)
	}
	return c, err
}

func (c *streamClient) close() {
	c.conn.Close()
	<-c.done
}

func (c *streamClient) write(frames string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	_, err := io.WriteString(c.conn, frames)
	return err
}

// leave ends the stream after its last message is acknowledged for good, so that it does not come again.
func (c *streamClient) leave(t testing.TB) {
	t.Helper()
	got := c.received()
	last := got[len(got)-1]
	c.write(fmt.Sprintf("ack;id=leave:%s:%d\n", last.mailbox, last.seq))
	if reply := c.reply(t, "leave", 10*time.Second); reply != "ok;id=leave" {
		t.Fatalf("%s: the last ack is answered %q", c.user, reply)
	}
	c.close()
}

// post sends a message under an id, and waits for nothing.
func (c *streamClient) post(id, to, text string) error {
	return c.write(fmt.Sprintf("wrmsg;id=%s;len=%d:::%s:%s\n", id, len(text), to, text))
}

// mustSend sends a message, and wants it to be stored.
func (c *streamClient) mustSend(t testing.TB, id, to, text string) {
	t.Helper()
	if err := c.post(id, to, text); err != nil {
		t.Fatal(err)
	}
	if reply := c.reply(t, id, 20*time.Second); !strings.HasPrefix(reply, "ok;id="+id+";seq=") {
		t.Fatalf("%s to %s: reply %q; want ok", c.user, to, reply)
	}
}

func (c *streamClient) read() {
	defer close(c.done)
	r := bufio.NewReader(c.conn)
	for {
		err := c.readFrame(r)
		c.mu.Lock()
		c.ended = err
		close(c.news)
		c.news = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *streamClient) readFrame(r *bufio.Reader) error {
	head, err := r.ReadString('\n')
	if err != nil && !strings.HasPrefix(head, "newmsg;") {
		return err
	}
	switch verb, rest, _ := strings.Cut(strings.TrimSuffix(head, "\n"), ";"); verb {
	case "ok", "err":
		id, _, _ := strings.Cut(strings.TrimPrefix(rest, "id="), ";")
		id, _, _ = strings.Cut(id, ":")
		c.mu.Lock()
		c.replies[id] = strings.TrimSuffix(head, "\n")
		c.mu.Unlock()
	case "newmsg":
		return c.readNewmsg(r, head)
	case "ping":
		return c.write("pong;" + rest + "\n")
	case "bye":
		c.mu.Lock()
		c.leaving = true
		c.mu.Unlock()
	case "pong":
	default:
		return fmt.Errorf("a frame of no known verb: %q", head)
	}
	return nil
}

// readNewmsg reads on where the first newline was: it may be in the middle of the text.
func (c *streamClient) readNewmsg(r *bufio.Reader, begin string) error {
	fields := strings.SplitN(begin, ":", 5)
	if len(fields) != 5 {
		return fmt.Errorf("a newmsg without its fields: %q", begin)
	}
	attrs := make(map[string]string)
	for _, attr := range strings.Split(fields[0], ";")[1:] {
		key, value, _ := strings.Cut(attr, "=")
		attrs[key] = value
	}
	size, err := strconv.Atoi(attrs["len"])
	if err != nil {
		return err
	}
	text := make([]byte, size+1)
	n := copy(text, fields[4])
	if _, err := io.ReadFull(r, text[n:]); err != nil {
		return err
	}
	m := streamed{id: attrs["id"], mailbox: attrs["to"], from: fields[3], text: string(text[:size]), at: time.Now()}
	if m.seq, err = strconv.ParseInt(attrs["seq"], 10, 64); err != nil || text[size] != '\n' {
		return fmt.Errorf("a newmsg that is not of its form: %q", begin)
	}
	c.mu.Lock()
	c.got = append(c.got, m)
	c.mu.Unlock()
	if c.silent {
		return nil
	}
	return c.ack(m)
}

func (c *streamClient) ack(m streamed) error {
	return c.write(fmt.Sprintf("ack:%s:%d\n", m.mailbox, m.seq))
}

// wait returns once a condition holds of what was read; it is called with the lock held.
func (c *streamClient) wait(t testing.TB, within time.Duration, condition func() error) {
	t.Helper()
	if err := c.await(within, condition); err != nil {
		t.Fatal(err)
	}
}

func (c *streamClient) await(within time.Duration, condition func() error) error {
	timeout := time.After(within)
	for {
		c.mu.Lock()
		err, ended, news := condition(), c.ended, c.news
		c.mu.Unlock()
		if err == nil {
			return nil
		}
		if ended != nil {
			return fmt.Errorf("%s: %v; and the stream has ended: %w", c.user, err, ended)
		}
		select {
		case <-news:
		case <-timeout:
			return fmt.Errorf("%s: after %v: %v", c.user, within, err)
		}
	}
}

// reply waits for the answer to the frame with this id.
func (c *streamClient) reply(t testing.TB, id string, within time.Duration) (line string) {
	t.Helper()
	line, err := c.awaitReply(id, within)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func (c *streamClient) awaitReply(id string, within time.Duration) (line string, err error) {
	err = c.await(within, func() error {
		if line = c.replies[id]; line == "" {
			return fmt.Errorf("there is no answer to %s", id)
		}
		return nil
	})
	return line, err
}

func (c *streamClient) received() []streamed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// waitTexts returns once n messages have come, and wants just these texts, in this order.
func (c *streamClient) waitTexts(t testing.TB, want ...string) {
	t.Helper()
	c.wait(t, 20*time.Second, func() error {
		if len(c.got) < len(want) {
			return fmt.Errorf("%d of %d messages have come", len(c.got), len(want))
		}
		return nil
	})
	var texts []string
	for _, m := range c.received() {
		texts = append(texts, m.text)
	}
	if !slices.Equal(texts, want) {
		t.Errorf("%s got %q, want %q", c.user, texts, want)
	}
}

// waitMailboxes returns once as many messages have come, and wants just these texts, in this order within each mailbox.
func (c *streamClient) waitMailboxes(t testing.TB, want map[string][]string) {
	t.Helper()
	n := 0
	for _, texts := range want {
		n += len(texts)
	}
	c.wait(t, 20*time.Second, func() error {
		if len(c.got) < n {
			return fmt.Errorf("%d of %d messages have come", len(c.got), n)
		}
		return nil
	})
	got := make(map[string][]string)
	for _, m := range c.received() {
		got[m.mailbox] = append(got[m.mailbox], m.text)
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%s got %q, want %q", c.user, got, want)
	}
}

// wantEnd waits until the stream has ended, and wants that the login was answered so before.
func (c *streamClient) wantEnd(t testing.TB, code string, within time.Duration) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(within):
		t.Fatalf("%s: the stream has not ended after %v", c.user, within)
	}
	if reply := c.replies["in"]; !strings.HasPrefix(reply, "err;id=in:"+code+":") {
		t.Errorf("%s: the stream has ended with %q and %v; want %s", c.user, reply, c.ended, code)
	}
}

// wantRising wants seqs that grow within each mailbox, and so that nothing came twice.
func (c *streamClient) wantRising(t testing.TB) {
	t.Helper()
	last := make(map[string]int64)
	for _, m := range c.received() {
		if m.seq <= last[m.mailbox] {
			t.Errorf("%s got seq %d of %s (%q) after %d", c.user, m.seq, m.mailbox, m.text, last[m.mailbox])
		}
		last[m.mailbox] = m.seq
	}
}
