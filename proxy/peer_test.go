package proxy

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/internal/proctest"
	"multichat/internal/wire"
)

// refuse is a pusher without clients.
type refuse struct{}

func (refuse) Push(context.Context, edge.Push) (edge.Receipt, error) {
	return edge.Receipt{Outcome: edge.PushRefused}, nil
}

// testPeer is a peer as the router makes it, with its log and the links that it has made.
type testPeer struct {
	*peer
	log   *proctest.Output
	ended chan struct{} // closed when serve has returned
}

// startPeer serves a peer whose server is at s.
func startPeer(t testing.TB, s *chatServer) *testPeer {
	t.Helper()
	identity, err := link.NewIdentity(testKey)
	if err != nil {
		t.Fatal(err)
	}
	p := &testPeer{ended: make(chan struct{})}
	var log *slog.Logger
	p.log, log = newLog(t, "the peer")
	p.peer = &peer{
		name:   s.name,
		config: link.DialConfig{Identity: identity, Name: "proxy-1", Peer: s.name, Pusher: refuse{}},
		log:    log,
		early:  true,
		notify: func() {},
		moved:  make(chan struct{}, 1),
		addr:   s.relay.addr,
	}
	start(t, "the peer", func(ctx context.Context) error {
		defer close(p.ended)
		p.serve(ctx)
		return nil
	})
	return p
}

// awaitLink waits for a link that is not the one before, if that is given.
func (p *testPeer) awaitLink(t testing.TB, before *link.Conn) (conn *link.Conn) {
	t.Helper()
	eventually(t, "there is a link", func() bool {
		conn, _ = p.link(time.Now())
		return conn != nil && conn != before
	})
	return conn
}

func at(s *chatServer) cluster.Member {
	return cluster.Member{Name: s.name, Role: cluster.Server, Link: s.relay.addr}
}

// answers is the answer of whoever is at the other end.
func answers(t testing.TB, conn *link.Conn) chat.Seq {
	t.Helper()
	seq, err := conn.Send(t.Context(), from(aClient), message("m1"))
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// namesakes are one server before and after it has moved. They answer 1 and 2.
func namesakes(t testing.TB) (before, after *chatServer) {
	before, after = newServer(t, "server-1"), newServer(t, "server-1")
	after.number = 2
	return before, after
}

func TestAPeerFollowsItsServer(t *testing.T) {
	t.Parallel()
	before, after := namesakes(t)
	p := startPeer(t, before)
	first := p.awaitLink(t, nil)
	p.update(at(before))
	if conn, proven := p.link(time.Now()); conn != first || !proven {
		t.Errorf("the same address once more changed the link, or made it doubtful")
	}
	p.update(at(after))
	if conn, _ := p.link(time.Now()); conn == first {
		t.Error("the link to the old address is still in use")
	}
	second := p.awaitLink(t, first)
	if got := answers(t, second); got != after.number {
		t.Errorf("answered by %v, want the server at the new address", got)
	}
	begun := time.Now()
	for _, tt := range []struct {
		after  time.Duration
		proven bool
	}{{probation / 2, false}, {probation + time.Second, true}} {
		if _, proven := p.link(begun.Add(tt.after)); proven != tt.proven {
			t.Errorf("the link has proven itself after %v: %v, want %v", tt.after, proven, tt.proven)
		}
	}
}

func TestALinkToAnAddressThatIsNoLongerTrueIsNotUsed(t *testing.T) {
	t.Parallel()
	before, after := namesakes(t)
	before.relay.stall(true)
	p := startPeer(t, before)
	eventually(t, "the old address is dialled", func() bool { return before.relay.connections() == 1 })
	p.update(at(after))
	before.relay.stall(false)
	if got := answers(t, p.awaitLink(t, nil)); got != after.number {
		t.Errorf("answered by %v, want the server at the new address", got)
	}
}

func TestARetiredPeer(t *testing.T) {
	t.Parallel()
	t.Run("without a link ends at once", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, "server-1")
		s.relay.close()
		p := startPeer(t, s)
		eventually(t, "the server is dialled", func() bool { return s.relay.connections() > 3 })
		p.retire(time.Now())
		receive(t, p.ended, "the peer to end")
		if !p.finish(time.Now()) {
			t.Error("it is not finished")
		}
	})
	t.Run("does not take up the link that it was dialling", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, "server-1")
		s.relay.stall(true)
		p := startPeer(t, s)
		eventually(t, "the server is dialled", func() bool { return s.relay.connections() == 1 })
		p.retire(time.Now())
		s.relay.stall(false)
		receive(t, p.ended, "the peer to end")
	})
	t.Run("keeps its link while somebody may wait for an answer", func(t *testing.T) {
		t.Parallel()
		p := startPeer(t, newServer(t, "server-1"))
		conn := p.awaitLink(t, nil)
		now := time.Now()
		p.retire(now)
		if p.finish(now.Add(sendTimeout - ms)) {
			t.Fatal("the link was ended")
		}
		if got := answers(t, conn); got != 1 {
			t.Errorf("answered by %v", got)
		}
		if !p.finish(now.Add(sendTimeout)) {
			t.Error("it is not finished though nobody waits any longer")
		}
		receive(t, p.ended, "the peer to end")
		if len(p.log.Lines("level=WARN")) > 0 || len(p.log.Lines(errRetired.Error())) != 1 {
			t.Errorf("the log says %q", p.log.Lines(""))
		}
	})
	t.Run("ends a silent link", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, "server-1")
		p := startPeer(t, s)
		p.awaitLink(t, nil)
		s.relay.stall(true)
		begin := time.Now()
		p.retire(begin)
		eventually(t, "it is finished", func() bool { return p.finish(time.Now()) })
		if took := time.Since(begin); took < giveUpAfter-150*ms || took > sendTimeout/2 {
			t.Errorf("ended after %v, want about %v", took, giveUpAfter)
		}
		receive(t, p.ended, "the peer to end")
	})
}

func TestAServerThatHangsUpAtOnceIsDialledWithPauses(t *testing.T) {
	t.Parallel()
	s := newServer(t, "server-1")
	s.send = func(context.Context, wire.Wrmsg) (chat.Seq, error) {
		s.relay.cut()
		return 1, nil
	}
	p := startPeer(t, s)
	var conn *link.Conn
	begin := time.Now()
	for range 4 {
		conn = p.awaitLink(t, conn)
		if _, err := conn.Send(t.Context(), from(aClient), message("m1")); err == nil {
			t.Fatal("the link lived")
		}
	}
	p.awaitLink(t, conn)
	least := time.Duration(0)
	for pause := minRedial; pause < 16*minRedial; pause *= 2 {
		least += pause / 2
	}
	if took := time.Since(begin); took < least {
		t.Errorf("four links that broke at once took %v, want %v at least", took, least)
	}
}
