package proxy

import (
	"context"
	"net/netip"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// What the old and the new server of a client both push comes twice.
func TestAServerPushesToItsOwnClientsOnly(t *testing.T) {
	t.Parallel()
	backs := make(chan edge.Pusher, 1)
	f := newFleet(t, 1, func(s *chatServer) {
		s.poll = func(_ netip.Addr, _ wire.Poll, back edge.Pusher) { backs <- back }
	})
	second := newServer(t, "server-2")
	client := f.clientOf(t, []string{"server-1", "server-2"}, "server-2")
	f.Poll(from(client), aPoll, nil)
	back := receive(t, backs, "the poll")
	push := edge.Push{Client: client, Ports: []uint16{4391}, Messages: []chat.Message{{Seq: 1}, {Seq: 2}}}
	pushing := make(chan struct{}, 2)
	f.push = func(_ context.Context, p edge.Push) (edge.Receipt, error) {
		pushing <- struct{}{}
		<-p.Stop
		return edge.Receipt{Taken: 1, Port: 4391, Outcome: edge.PushBusy}, nil
	}
	second.join(t, f.node)
	if got, err := back.Push(t.Context(), push); err != nil || got.Taken != 1 {
		t.Errorf("the push that is under way when the client goes over: %v, %v; want it to be stopped", got, err)
	}
	receive(t, pushing, "the push")
	f.awaitRoute(t, "server-1", "server-2")
	if got, err := back.Push(t.Context(), push); err != nil || got != (edge.Receipt{Outcome: edge.PushBusy}) {
		t.Errorf("a push to a client of the other server: %v, %v; want it to be refused", got, err)
	}
	if len(pushing) > 0 {
		t.Error("it was handed to the edge")
	}
}
