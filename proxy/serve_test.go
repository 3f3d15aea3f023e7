package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/internal/wire"
)

func TestTheEndWithEverythingInFlight(t *testing.T) {
	t.Parallel()
	const sends = 50
	backs := make(chan edge.Pusher, 1)
	f := newFleet(t, 2, func(s *chatServer) {
		s.poll = func(_ netip.Addr, _ wire.Poll, back edge.Pusher) { backs <- back }
	})
	held := []*blocker{f.servers[0].block(t), f.servers[1].block(t)}
	pushing := make(chan struct{}, 1)
	f.push = func(ctx context.Context, _ edge.Push) (edge.Receipt, error) {
		pushing <- struct{}{}
		<-ctx.Done()
		return edge.Receipt{Outcome: edge.PushBroken}, nil
	}
	stuck := newServer(t, "server-3") // never gets beyond the handshake
	stuck.relay.stall(true)
	stuck.join(t, f.node)
	eventually(t, "the third server is dialled", func() bool { return stuck.relay.connections() > 0 })
	f.Poll(from(aClient), aPoll, nil)
	back := receive(t, backs, "the poll")
	pushed := make(chan error, 1)
	go func() {
		_, err := back.Push(context.Background(), edge.Push{Client: aClient, Ports: []uint16{4391}})
		pushed <- err
	}()
	receive(t, pushing, "the push to begin")
	var inFlight []<-chan answer
	for i, client := range someClients()[:sends] {
		inFlight = append(inFlight, f.send(client, fmt.Sprint("m", i)))
	}
	eventually(t, "all sends arrive", func() bool {
		return len(held[0].entered)+len(held[1].entered) == sends
	})

	begin := time.Now()
	f.end()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Serve ended after %v", took)
	}
	for _, a := range inFlight {
		if a := receive(t, a, "an answer"); a.code() != string(chat.CodeUnknown) {
			t.Errorf("a send in flight was answered %v, want unknown", a.err)
		}
	}
	if err := receive(t, pushed, "the push to end"); !errors.Is(err, link.ErrBroken) {
		t.Errorf("the push ended with %v, want %v", err, link.ErrBroken)
	}
	if a := receive(t, f.send(aClient, "late"), "an answer"); a.code() != string(chat.CodeUnavail) {
		t.Errorf("a send after the end was answered %v, want unavail", a.err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the last answer came %v after the end", took)
	}
	before := f.drops("no_server")
	f.Poll(from(aClient), aPoll, nil)
	if got := f.drops("no_server") - before; got != 1 {
		t.Errorf("a poll after the end was counted %v times as dropped", got)
	}
	if f.Ready() == nil {
		t.Error("ready after the end")
	}
	for _, text := range []string{"level=WARN", "level=ERROR", "servers=[]"} {
		if lines := f.log.Lines(text); len(lines) > 0 {
			t.Errorf("an orderly end was told as %q", lines)
		}
	}
}
