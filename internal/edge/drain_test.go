package edge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// Whoever is told bye goes elsewhere in its own time: what it said before it had read that is done, too.
func TestStreamsGoOnForAWhileWhenTheEdgeLeaves(t *testing.T) {
	for _, tc := range []struct {
		name  string
		leave func(*node)
	}{
		{"since Serve ends", func(n *node) { n.stop() }},
		{"since it drains", func(n *node) { n.Drain(context.Background()) }},
		{"for both reasons", func(n *node) { n.Drain(context.Background()); n.stop() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{Grace: patience})
			c, s := n.logIn(t)
			c.say(t, wrmsg("m1", "bob", "before"))
			receive(t, "the first send", s.sends)
			tc.leave(n)
			c.want(t, "bye\n")
			c.say(t, wrmsg("m2", "bob", "after"), "ack:alice:5\n")
			receive(t, "the second send", s.sends)
			receive(t, "the ack", s.acks)
			s.client.Deliver([]chat.Message{message("alice", 6, "hi")})
			s.client.Answer(1, 5, nil)
			s.client.Answer(2, 7, nil)
			c.want(t, newmsg("alice", 6, "hi"), "ok;id=m1;seq=5\n", "ok;id=m2;seq=7\n")
			c.say(t, "bye\n")
			c.wantEnd(t)
			c.Close()
			s.wantClosed(t)
			n.wantEnds(t, "bye", 1)
			n.stop()
			n.wantEnded(t)
		})
	}
}

func TestEdgeThatDrainsOpensNoStream(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	n.Drain(context.Background())
	c := n.stream(t)
	c.say(t, "poll;v=2;id=in:alice:secret:0\n")
	c.wantErr(t, "in", chat.CodeUnavail)
	c.wantEnd(t)
	wantNone(t, "a login", n.logins)
	if answered := n.ask(t, hello); !okLine.MatchString(answered) {
		t.Errorf("a request is answered %q", answered)
	}
}

// A client that has connected does not know that the edge is about to end, and its request may be on its way.
func TestEveryConnectionThatWasMadeIsAnswered(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("see passOver")
	}
	h := newHandler()
	h.requests = make(chan request, 1<<16)
	for range 5 {
		n := serve(t, h, edge.Config{Grace: patience})
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for {
					conn, err := net.DialTimeout("tcp", n.TCPAddr().String(), 500*time.Millisecond)
					if err != nil {
						return // nobody listens any more
					}
					_, sendErr := io.WriteString(conn, hello)
					endErr := conn.(*net.TCPConn).CloseWrite()
					answered, err := io.ReadAll(conn)
					if conn.Close(); !okLine.Match(answered) {
						t.Errorf("a request is answered %q: %v", answered, errors.Join(sendErr, endErr, err))
					}
				}
			})
		}
		receive(t, "a request", h.requests)
		n.stop()
		clients.Wait()
		n.wantEnded(t)
	}
}

func TestStreamThatOpensTooLateIsToldSo(t *testing.T) {
	for _, tc := range []struct {
		name    string
		leave   func(*node)
		decided func(ctx context.Context, left chan struct{})
		ends    bool // by itself
	}{
		{"after bye", func(n *node) { n.Drain(context.Background()) }, func(_ context.Context, left chan struct{}) { <-left }, false},
		{"after the grace", func(n *node) { n.stop() }, func(ctx context.Context, _ chan struct{}) { <-ctx.Done() }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked, left := make(chan struct{}), make(chan struct{})
			h := newHandler()
			h.login = func(ctx context.Context, _ *stream) error {
				close(asked)
				tc.decided(ctx, left)
				return nil
			}
			n := serve(t, h, edge.Config{})
			c := n.stream(t)
			c.say(t, "poll;v=2;id=in:alice:secret:0\n")
			receive(t, "the login", asked)
			tc.leave(n)
			close(left)
			c.want(t, "ok;id=in\n", "bye\n")
			if !tc.ends {
				c.say(t, "bye\n")
			}
			c.wantEnd(t)
			receive(t, "the stream", n.logins).wantClosed(t)
			n.wantEnds(t, "bye", 1)
		})
	}
}

func TestEndOfGraceEndsStreams(t *testing.T) {
	h := newHandler()
	decide := make(chan struct{})
	h.login = func(ctx context.Context, s *stream) error {
		if s.login.User == "carol" {
			close(decide)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	n := serve(t, h, edge.Config{Grace: moment})
	idle, idleStream := n.logIn(t)
	busy, busyStream := n.logIn(t)
	busy.say(t, wrmsg("m1", "bob", "hi"), "bye\n") // and waits for the answer
	receive(t, "the send", busyStream.sends)
	undecided := n.stream(t)
	undecided.say(t, "poll;v=2;id=in:carol:secret:0\n")
	receive(t, "the login", decide)

	start := time.Now()
	n.stop()
	idle.want(t, "bye\n")
	idle.wantEnd(t)
	undecided.wantErr(t, "in", chat.CodeUnavail)
	undecided.wantEnd(t)
	n.wantEnded(t)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("the end took %v", took)
	}
	idleStream.wantClosed(t)
	busyStream.wantClosed(t)
	n.wantEnds(t, "bye", 2)
}

// A client that does not read its last words, or goes on sending, does not keep the edge from ending.
func TestClientThatDoesNotCloseDoesNotHoldTheEnd(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{Grace: moment})
	c, s := n.logIn(t)
	for s.client.Deliver([]chat.Message{message("alice", 1, string(make([]byte, 60_000)))}) {
	}
	s.wantClosed(t)
	start := time.Now()
	n.stop()
	n.wantEnded(t)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("the end took %v", took)
	}
	c.Close()
}
