package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/internal/wire"
)

var (
	aClient = netip.MustParseAddr("127.0.0.11")
	aPoll   = wire.Poll{User: []byte("alice"), Password: password, Port: 4391}
)

func TestPollDoesNotAllocate(t *testing.T) { // not parallel: what others allocate would be counted
	f := newFleet(t, 3, nil)
	empty := startProxy(t, "proxy-2")
	ended := newFleet(t, 1, nil)
	ended.end()
	f.tickets.KeepTicket(f.holders.of(aPoll.User, aPoll.Password), chat.NewSecret("ticket"))
	for _, tt := range []struct {
		name string
		p    *node
	}{{"with a link", f.node}, {"without a server", empty}, {"after the end", ended.node}} {
		t.Run(tt.name, func(t *testing.T) {
			tt.p.Poll(from(aClient), aPoll, nil) // buffers grow once
			if got := testing.AllocsPerRun(2000, func() { tt.p.Poll(from(aClient), aPoll, nil) }); got != 0 {
				t.Errorf("a poll allocates %v times", got)
			}
		})
	}
	if got := testutil.ToFloat64(f.metrics.Polls); got < 2000 {
		t.Errorf("only %v polls were handed on", got)
	}
	if got := empty.drops("no_server"); got < 2000 {
		t.Errorf("only %v polls were counted as dropped", got)
	}
}

func TestPollsBeyondTheQueueAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, nil)
	s := f.servers[0]
	s.relay.stall(true)
	offered := 0
	eventually(t, "polls are dropped", func() bool {
		for range 1000 {
			f.Poll(from(aClient), aPoll, nil)
			offered++
		}
		return f.drops("link_full") > 0
	})
	handed := testutil.ToFloat64(f.metrics.Polls)
	if dropped := f.drops("link_full"); handed+dropped != float64(offered) {
		t.Errorf("%v polls were handed on and %v dropped, of %d", handed, dropped, offered)
	}
	s.relay.stall(false)
	eventually(t, "what was handed on arrives", func() bool { return s.polls(aClient) == int(handed) })
	f.Poll(from(aClient), aPoll, nil)
	eventually(t, "the next poll arrives", func() bool { return s.polls(aClient) == int(handed)+1 })
}

func TestAPushLeavesThroughTheProxyThatRelayedThePoll(t *testing.T) {
	t.Parallel()
	backs := make(chan edge.Pusher, 1)
	f := newFleet(t, 1, func(s *chatServer) {
		s.poll = func(_ netip.Addr, _ wire.Poll, back edge.Pusher) { backs <- back }
	})
	second := startProxy(t, "proxy-2", f.node)
	second.awaitRoute(t, f.names...)
	pushes := make(chan string, 1)
	receipts := map[string]edge.Receipt{ // what each proxy's client answers
		"proxy-1": {Taken: 2, Port: 10001, Outcome: edge.PushTaken},
		"proxy-2": {Taken: 1, Port: 4391, Outcome: edge.PushBroken},
	}
	for _, p := range []*node{f.node, second} {
		p.push = func(_ context.Context, push edge.Push) (edge.Receipt, error) {
			pushes <- fmt.Sprint(p.cfg.Name, push.Client, push.Ports, len(push.Messages))
			return receipts[p.cfg.Name], nil
		}
	}
	push := edge.Push{Client: aClient, Ports: []uint16{4391, 10001}, Messages: []chat.Message{{Seq: 1}, {Seq: 2}}}
	for _, p := range []*node{second, f.node, second} {
		p.Poll(from(aClient), aPoll, nil)
		got, err := receive(t, backs, "the poll").Push(t.Context(), push)
		if err != nil || got != receipts[p.cfg.Name] {
			t.Errorf("the receipt is %v (%v), want that of %s", got, err, p.cfg.Name)
		}
		if got, want := receive(t, pushes, "the push"), fmt.Sprint(p.cfg.Name, aClient, push.Ports, 2); got != want {
			t.Errorf("pushed as %q, want %q", got, want)
		}
	}
	for _, tt := range []struct {
		p       *node
		outcome edge.Outcome
		want    float64
	}{
		{f.node, edge.PushTaken, 2}, {f.node, edge.PushBroken, 0},
		{second, edge.PushTaken, 2}, {second, edge.PushBroken, 2}, // twice one message, and then a break
	} {
		if got := testutil.ToFloat64(tt.p.metrics.Pushes.WithLabelValues(tt.outcome.String())); got != tt.want {
			t.Errorf("%s counted %v pushes as %v, want %v", tt.p.cfg.Name, got, tt.outcome, tt.want)
		}
	}
}

func TestAPushThatFailsIsNotCounted(t *testing.T) {
	t.Parallel()
	backs := make(chan edge.Pusher, 1)
	f := newFleet(t, 1, func(s *chatServer) {
		s.poll = func(_ netip.Addr, _ wire.Poll, back edge.Pusher) { backs <- back }
	})
	f.push = func(context.Context, edge.Push) (edge.Receipt, error) {
		return edge.Receipt{Taken: 1}, errors.New("the lights went out")
	}
	f.Poll(from(aClient), aPoll, nil)
	back := receive(t, backs, "the poll")
	_, err := back.Push(t.Context(), edge.Push{Client: aClient, Ports: []uint16{4391}, Messages: make([]chat.Message, 1)})
	if err == nil || errors.Is(err, link.ErrBroken) {
		t.Errorf("the push ended with %v, want what went wrong", err)
	}
	if n := testutil.CollectAndCount(f.metrics.Pushes); n != 0 {
		t.Errorf("%d outcomes were counted, want none", n)
	}
}
