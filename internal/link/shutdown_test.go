package link

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

func TestShutdownLetsSendsFinish(t *testing.T) {
	const n = 50
	h := newBlocked()
	addr, server := listen(t, ListenConfig{Handler: h, Grace: patience})
	conn, serving := dial(t, addr, DialConfig{})
	errs := h.sendMany(t, conn, n)
	server.cancel()

	eventually(t, "new sends are not taken", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := conn.Send(ctx, aCaller, aMessage)
		if errors.Is(err, ErrNotSent) {
			return errors.Is(err, ErrBroken) && strings.Contains(err.Error(), "shutting down")
		}
		receive(t, h.entered, "a send from before the end to be handled")
		return false
	})
	if len(h.entered) > 0 {
		t.Error("a send that was not taken is being handled")
	}
	if _, err := Dial(t.Context(), addr, withDialDefaults(t, DialConfig{})); err == nil {
		t.Error("a new link was taken")
	}
	close(h.release)
	for range n {
		if err := receive(t, errs, "a reply"); err != nil {
			t.Errorf("a send that was in hand got %v", err)
		}
	}
	if err := server.wait(t); err != nil {
		t.Errorf("the server's Serve returned %v", err)
	}
	if err := serving.wait(t); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the proxy's Serve returned %v, want that the other end closed", err)
	}
}

func TestShutdownDoesNotWaitLongerThanGrace(t *testing.T) {
	cancelled := make(chan error, 1)
	entered := make(chan struct{})
	addr, server := listen(t, ListenConfig{Grace: 30 * time.Millisecond, Handler: handler{
		send: func(ctx context.Context, _ edge.Caller, _ wire.Wrmsg) (chat.Seq, error) {
			close(entered)
			<-ctx.Done()
			cancelled <- ctx.Err()
			return 0, chat.Errorf(chat.CodeUnavail, "nothing was stored")
		},
	}})
	conn, _ := dial(t, addr, DialConfig{})
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Send(context.Background(), aCaller, aMessage)
		sent <- err
	}()
	receive(t, entered, "the send to be handled")
	if err := server.end(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	select {
	case <-cancelled:
	default:
		t.Error("Serve returned before the send that was in hand")
	}
	if err := receive(t, sent, "the send to end"); err == nil || chat.AsError(err).Code != chat.CodeUnavail {
		t.Errorf("the send got %v, want what its handler answered in the end", err)
	}
}

// pipe is a proxy and a server that are linked without a network, so that a test's time can be that of a bubble. drain
// ends the server's side as [Listener.Serve] does.
func pipe(t *testing.T, cfg ListenConfig) (conn *Conn, l *Listener, drain func()) {
	t.Helper()
	cfg.Identity, cfg.Name = identity(t, key("k")), "server-1"
	l, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	near, far := net.Pipe()
	end := l.newEnd(far, newFrameReader(far), aServer, aProxy)
	l.ends[end] = struct{}{}
	handling, cancel := context.WithCancel(context.Background())
	start(t, func(context.Context) error { return end.serve(handling) })
	conn = newConn(near, newFrameReader(near), aProxy, aServer, withDialDefaults(t, DialConfig{}).withDefaults())
	start(t, conn.Serve)
	return conn, l, func() { l.drain(cancel) }
}

func TestSendsCancelledAtTheEndOfGraceMayStillAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		takes  time.Duration // from the end of its context to the handler's answer
		code   chat.Code
		broken bool
	}{
		"soon enough": {takes: cancelWait - ms, code: chat.CodeUnavail},
		"too late":    {takes: time.Minute, code: chat.CodeUnknown, broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				entered := make(chan struct{})
				conn, l, drain := pipe(t, ListenConfig{Handler: handler{
					send: func(ctx context.Context, _ edge.Caller, _ wire.Wrmsg) (chat.Seq, error) {
						close(entered)
						<-ctx.Done()
						time.Sleep(c.takes)
						return 0, chat.Errorf(chat.CodeUnavail, "nothing was stored")
					},
				}})
				sent := make(chan error, 1)
				go func() {
					_, err := conn.Send(context.Background(), aCaller, aMessage)
					sent <- err
				}()
				<-entered
				begin := time.Now()
				drain()
				if took, most := time.Since(begin), l.cfg.Grace+cancelWait+drainFlush; took > most {
					t.Errorf("the links were ended after %v, want %v at most", took, most)
				}
				err := <-sent
				if chat.AsError(err).Code != c.code || errors.Is(err, ErrBroken) != c.broken {
					t.Errorf("the send got %v, want %v", err, c.code)
				}
				if errors.Is(err, ErrNotSent) {
					t.Errorf("the send got %v, but it was handled", err)
				}
				<-l.sends.Close()
			})
		})
	}
}

// Clients that came by a link may be led elsewhere when it has ended.
func TestTheEndOfALinkIsTold(t *testing.T) {
	ended := make(chan struct{}, 1)
	addr, _ := listen(t, ListenConfig{Ended: func() { ended <- struct{}{} }})
	_, proxy := dial(t, addr, DialConfig{})
	select {
	case <-ended:
		t.Fatal("told while the link lasts")
	case <-time.After(20 * time.Millisecond):
	}
	proxy.end(t)
	receive(t, ended, "the end")
}
