package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/metrics"
	"multichat/internal/wire"
)

// pipeHandler opens every stream, answers nothing, and tells the test of both.
type pipeHandler struct {
	login  func(ctx context.Context) error // nil opens every stream
	client chan StreamClient
	sends  chan uint64
	closed chan time.Time
}

func newPipeHandler() *pipeHandler {
	return &pipeHandler{client: make(chan StreamClient, 1), sends: make(chan uint64, 8), closed: make(chan time.Time, 1)}
}

func (h *pipeHandler) Poll(Caller, wire.Poll, Pusher) {}

func (h *pipeHandler) Send(context.Context, Caller, wire.Wrmsg) (chat.Seq, error) { return 0, nil }

func (h *pipeHandler) Login(ctx context.Context, _ Caller, _ Login, client StreamClient) (Stream, error) {
	if h.login != nil {
		if err := h.login(ctx); err != nil {
			return nil, err
		}
	}
	h.client <- client
	return pipeStream{h}, nil
}

type pipeStream struct{ *pipeHandler }

func (s pipeStream) Send(ref uint64, _ StreamMessage) { s.sends <- ref }

func (s pipeStream) Ack(uint64, chat.Mailbox, chat.Seq) {}

func (s pipeStream) Close() { s.closed <- time.Now() }

// pipeNode serves one connection that has no buffers of its own.
type pipeNode struct {
	*connServer
	client net.Conn
	in     *bufio.Reader
	served sync.WaitGroup
}

func servePipe(t *testing.T, h Handler) *pipeNode {
	t.Helper()
	return serveNode(t, h, nil)
}

// servePipeTLS does the same over TLS.
func servePipeTLS(t *testing.T, h Handler) *pipeNode {
	t.Helper()
	cert, err := tls.X509KeyPair(NewPair(t, "test"))
	if err != nil {
		t.Fatal(err)
	}
	return serveNode(t, h, &tls.Config{Certificates: []tls.Certificate{cert}})
}

func serveNode(t *testing.T, h Handler, secure *tls.Config) *pipeNode {
	t.Helper()
	n := &pipeNode{connServer: newConnServer(Config{Handler: h, Metrics: metrics.New(), Log: slog.New(slog.DiscardHandler)}.withDefaults())}
	client, conn := net.Pipe()
	n.client, n.tls = client, secure
	if secure != nil {
		n.client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	}
	n.in = bufio.NewReader(n.client)
	ctx := t.Context()
	n.served.Go(func() { n.serveConn(ctx, conn, netip.Addr{}, secure != nil) })
	t.Cleanup(func() { client.Close(); n.served.Wait() })
	return n
}

func (n *pipeNode) say(t *testing.T, frames string) {
	t.Helper()
	if _, err := io.WriteString(n.client, frames); err != nil {
		t.Fatal(err)
	}
}

// wantLine reads a line that comes after so long.
func (n *pipeNode) wantLine(t *testing.T, begin string, after time.Duration) {
	t.Helper()
	start := time.Now()
	line, err := n.in.ReadString('\n')
	if !strings.HasPrefix(line, begin) || err != nil {
		t.Fatalf("the client is told %q, %v; want %s…", line, err, begin)
	}
	if took := time.Since(start); took != after {
		t.Errorf("%s… comes after %v, want %v", begin, took, after)
	}
}

// wantEnd waits for the connection's end, which comes after so long.
func (n *pipeNode) wantEnd(t *testing.T, after time.Duration) {
	t.Helper()
	start := time.Now()
	rest, _ := io.ReadAll(n.in)
	if took := time.Since(start); len(rest) > 0 || took != after {
		t.Errorf("the connection ends after %v, and after %q; want %v", took, rest, after)
	}
}

func (n *pipeNode) wantReason(t *testing.T, reason string) {
	t.Helper()
	n.served.Wait()
	if testutil.ToFloat64(n.metrics.StreamEnds.WithLabelValues(reason)) != 1 {
		t.Errorf("no stream ended as %s", reason)
	}
}

const pipeLogin = "poll;v=2;id=in:alice:secret:0\n"

// A client that sends a byte now and then is never silent for long, and would hold its place for ever.
func TestRequestThatIsNotThereAfter30sIsEnded(t *testing.T) {
	for _, tc := range []struct{ name, begin, drip, answer string }{
		{"of version 1", "wrmsg:alice:secret:bob:", "x", "err;id="},
		{"a login", "poll;v=2;", "x", "err:badreq:the request was not there"},
		{"of version 2", "wrmsg;id=m;len=4000:alice:secret:bob:", "x", "err:badreq:the request was not there"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := servePipe(t, newPipeHandler())
				var dripping sync.WaitGroup
				dripping.Go(func() {
					_, err := io.WriteString(n.client, tc.begin)
					for ; err == nil; _, err = io.WriteString(n.client, tc.drip) {
						time.Sleep(4 * time.Second)
					}
				})
				n.wantLine(t, tc.answer, 30*time.Second)
				n.served.Wait()
				dripping.Wait()
			})
		})
	}
}

func TestLoginIsDecidedWithin10s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHandler()
		h.login = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		n := servePipe(t, h)
		n.say(t, pipeLogin)
		n.wantLine(t, "err;id=in:unavail:", 10*time.Second)
	})
}

func TestSilentClientIsPingedAndThenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHandler()
		n := servePipe(t, h)
		n.say(t, pipeLogin)
		n.wantLine(t, "ok;id=in\n", 0)
		n.wantLine(t, "ping;id=alive\n", 30*time.Second)
		n.wantEnd(t, 15*time.Second)
		<-h.closed
		n.wantReason(t, "silent")
	})
}

// A read that was given up does not harm a TLS connection, unlike a write.
func TestSilentClientOverTLSIsPingedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := servePipeTLS(t, newPipeHandler())
		n.say(t, pipeLogin)
		n.wantLine(t, "ok;id=in\n", 0)
		for range 3 {
			n.wantLine(t, "ping;id=alive\n", 30*time.Second)
			n.say(t, "pong;id=alive\n")
		}
		n.wantLine(t, "ping;id=alive\n", 30*time.Second)
		n.wantEnd(t, 15*time.Second)
		n.wantReason(t, "silent")
	})
}

func TestAnyFrameCountsAsLife(t *testing.T) {
	for _, frame := range []string{"pong;id=alive\n", "pong\n", "ack:alice:1\n", "wrmsg;id=m;len=2:::bob:hi\n", "wrmsg;len=2:::bob:hi\n"} {
		t.Run(frame, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPipeHandler()
				n := servePipe(t, h)
				n.say(t, pipeLogin)
				n.wantLine(t, "ok;id=in\n", 0)
				for range 3 {
					n.wantLine(t, "ping;id=alive\n", 30*time.Second)
					time.Sleep(15*time.Second - 1)
					n.say(t, frame)
					if strings.HasPrefix(frame, "wrmsg;len") {
						n.wantLine(t, "err:badreq:", 0)
					}
				}
				time.Sleep(29 * time.Second)
				n.say(t, frame) // and there is no ping
				if strings.HasPrefix(frame, "wrmsg;len") {
					n.wantLine(t, "err:badreq:", 0)
				}
				n.wantLine(t, "ping;id=alive\n", 30*time.Second)
			})
		})
	}
}

// A frame that never ends is no life, however often a byte of it comes.
func TestBytesAloneAreNoLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHandler()
		n := servePipe(t, h)
		n.say(t, pipeLogin)
		n.wantLine(t, "ok;id=in\n", 0)
		var dripping sync.WaitGroup
		dripping.Go(func() {
			_, err := io.WriteString(n.client, "wrmsg;id=m;len=4000:::bob:")
			for ; err == nil; _, err = io.WriteString(n.client, "x") {
				time.Sleep(time.Second)
			}
		})
		n.wantLine(t, "ping;id=alive\n", 30*time.Second)
		n.wantEnd(t, 15*time.Second)
		n.wantReason(t, "silent")
		dripping.Wait()
	})
}

// The stream is over at once; the connection may take a little longer, in case the client reads on.
func TestClientThatTakesNothingFor15sIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHandler()
		n := servePipe(t, h)
		n.say(t, pipeLogin)
		n.wantLine(t, "ok;id=in\n", 0)
		start := time.Now()
		(<-h.client).Deliver([]chat.Message{{Seq: 1, ID: "m", From: "bob", FromName: "Bob", To: "alice", Text: []byte("hi")}})
		if after := (<-h.closed).Sub(start); after != 15*time.Second {
			t.Errorf("the stream is closed after %v", after)
		}
		n.wantReason(t, "slow")
	})
}

func TestClientThatReadsALittleIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHandler()
		n := servePipe(t, h)
		n.say(t, pipeLogin)
		n.wantLine(t, "ok;id=in\n", 0)
		text := []byte(strings.Repeat("x", 60<<10))
		(<-h.client).Deliver([]chat.Message{{Seq: 1, ID: "m", From: "bob", FromName: "Bob", To: "alice", Text: text}})
		piece := make([]byte, pieceBytes)
		for range 3 {
			time.Sleep(14 * time.Second)
			if _, err := io.ReadFull(n.client, piece); err != nil {
				t.Fatal(err)
			}
			n.say(t, "pong\n")
		}
	})
}

func TestAnswersAreAwaitedFor12sAfterBye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHandler()
		n := servePipe(t, h)
		n.say(t, pipeLogin)
		n.wantLine(t, "ok;id=in\n", 0)
		n.say(t, "wrmsg;id=m;len=2:::bob:hi\nbye\n")
		start := time.Now()
		if after := (<-h.closed).Sub(start); after != 12*time.Second {
			t.Errorf("the stream is closed after %v", after)
		}
		n.wantReason(t, "client")
	})
}
