package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/internal/wire"
)

func TestASilentServerIsGivenUpAndUsedAgainLater(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	silent, next := f.servers[0], f.servers[1]
	client := f.clientOf(t, f.names, silent.name, next.name)
	var pushed atomic.Int64
	f.push = func(context.Context, edge.Push) (edge.Receipt, error) {
		pushed.Add(1)
		return edge.Receipt{}, nil
	}
	backs := make(chan edge.Pusher, 1)
	silent.poll = func(_ netip.Addr, _ wire.Poll, back edge.Pusher) { backs <- back }
	held := silent.block(t)
	late := ownLateness(t)

	f.Poll(from(client), aPoll, nil)
	back := receive(t, backs, "the poll")
	inFlight := f.send(client, "m1")
	receive(t, held.entered, "the send to arrive")
	stalled := time.Now()
	silent.relay.stall(true)
	a := receive(t, inFlight, "an answer")
	gap := time.Since(stalled)
	t.Logf("answered %v after the server fell silent", gap.Round(ms))
	if a.err != nil || a.seq != next.number {
		t.Errorf("answered by %v (%v), want %v", a.seq, a.err, next.number)
	}
	if counted := time.Since(later(stalled, late())); gap < giveUpAfter-50*ms || counted > giveUpAfter+time.Second {
		t.Errorf("answered %v after the server fell silent, want about %v", gap, giveUpAfter)
	}
	eventually(t, "the log says why", func() bool { return len(f.log.Lines("it does not answer")) == 1 })

	// What it says now, it says to nobody.
	held.letGo()
	push := make(chan error, 1)
	go func() {
		_, err := back.Push(context.Background(), edge.Push{Client: client, Ports: []uint16{10001}})
		push <- err
	}()
	links := silent.links()
	silent.relay.stall(false)
	if err := receive(t, push, "the push to fail"); !errors.Is(err, link.ErrBroken) {
		t.Errorf("the push of the silent server got %v, want %v", err, link.ErrBroken)
	}
	if pushed.Load() != 0 {
		t.Error("a push was heard on a link that was given up")
	}

	// It answers again, but has to do so for a while.
	eventually(t, "it is linked again", func() bool { return silent.links() > links })
	linked := time.Now()
	if a := receive(t, f.send(client, "m2"), "an answer"); a.err != nil || a.seq != next.number {
		t.Errorf("a send during the probation was answered by %v (%v), want %v", a.seq, a.err, next.number)
	}
	f.awaitRoute(t, f.names...)
	if took := time.Since(linked); took < probation-200*ms || took > probation+2*time.Second {
		t.Errorf("used again after %v, want about %v", took, probation)
	}
	if a := receive(t, f.send(client, "m3"), "an answer"); a.err != nil || a.seq != silent.number {
		t.Errorf("a send after the probation was answered by %v (%v), want %v", a.seq, a.err, silent.number)
	}
	if silent.arrivals("m1") != 1 || next.arrivals("m1") != 1 {
		t.Errorf("the message arrived %d and %d times, want once at each", silent.arrivals("m1"), next.arrivals("m1"))
	}
}

// sizes are how many servers each new route had, as the log tells.
func (n *node) sizes() (sizes []int) {
	for _, line := range n.log.Lines("msg=route") {
		servers, _, _ := strings.Cut(line, "lost=")
		sizes = append(sizes, strings.Count(servers, "server-"))
	}
	return sizes
}

func TestALostServerIsUsedAtOnceIfThereIsNoOther(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	first, other := f.servers[0], f.servers[1]
	client := f.clientOf(t, f.names, first.name)
	links := first.links()
	first.relay.cut()
	f.awaitRoute(t, other.name)
	eventually(t, "the first is linked again", func() bool { return first.links() > links })
	linked := time.Now()
	other.relay.close()
	a := receive(t, f.send(client, "m1"), "an answer")
	if took := time.Since(linked); a.err != nil || a.seq != first.number || took > probation-200*ms {
		t.Errorf("answered by %v (%v) after %v, want %v long before %v", a.seq, a.err, took, first.number, probation)
	}

	// Nobody who was taken up in need is put out again when the others have come back.
	seen := len(f.sizes())
	other.relay.open()
	f.awaitRoute(t, f.names...)
	if sizes := f.sizes()[seen:]; !slices.IsSorted(sizes) {
		t.Errorf("the new routes had %v servers; want none taken out again", sizes)
	}
}

func TestClientsAreNotSentToAndFroWhenAllServersComeBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	seen := len(f.sizes())
	for _, s := range f.servers {
		s.relay.cut()
	}
	for _, s := range f.servers {
		eventually(t, s.name+" is linked again", func() bool { return s.links() > 1 })
	}
	linked := time.Now()
	eventually(t, "all have passed their probation", func() bool { return time.Since(linked) > probation+200*ms })
	f.awaitRoute(t, f.names...)
	sizes := f.sizes()[seen:]
	fewest := slices.Min(sizes)
	if back := sizes[slices.Index(sizes, fewest):]; !slices.IsSorted(back) {
		t.Errorf("after the loss of all, the routes had %v servers; want none taken out again", sizes)
	}
}

func TestWhileMostServersAreSilentNoneIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, silent := range []int{3, 2} {
		t.Run(fmt.Sprintf("%d of 3", silent), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 3, nil)
			held := f.servers[0].block(t)
			inFlight := f.send(f.clientOf(t, f.names, "server-1"), "m1")
			receive(t, held.entered, "the send to arrive")
			for _, s := range f.servers[:silent] {
				s.relay.stall(true)
			}
			always(t, "all are in the route", 1200*ms, func() bool { return slices.Equal(f.routed(), f.names) })
			for _, s := range f.servers[:silent] {
				s.relay.stall(false)
			}
			held.letGo()
			if a := receive(t, inFlight, "an answer"); a.err != nil || a.seq != 1 {
				t.Errorf("the send was answered by %v (%v), want its own server", a.seq, a.err)
			}
			if lines := f.log.Lines("has ended"); len(lines) > 0 {
				t.Errorf("links have ended: %q", lines)
			}
		})
	}
}
