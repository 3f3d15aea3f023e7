package server

import (
	"context"
	"sync"
	"time"
)

// deliveries has streams given what waits for them. A stream that something has arrived for stands in a list, once, until
// one of a few workers takes it; there are workers only while the list is not empty. What a worker does never waits: a page
// of the store is read elsewhere, and a stream whose client takes nothing now comes back after a pause.
type deliveries struct {
	deliver func(*stream) // ends by calling finish, itself or later
	clock   func() time.Duration
	pausing chan struct{} // one slot: there are pauses
	group   sync.WaitGroup

	mu      sync.Mutex
	ready   []*stream // bounded by the number of streams, as the pauses are
	workers int
	pauses  map[*window]time.Duration // until when, as clock
	closed  bool
}

const (
	maxDeliverers = 64
	pauseTick     = 10 * time.Millisecond
)

// turn says where a stream stands.
type turn uint8

const (
	turnIdle    turn = iota
	turnReady        // it is in the list
	turnTaken        // a worker, or whoever reads a page for it, has it
	turnTakenOn      // the same, and more has come since
)

func newDeliveries(deliver func(*stream), clock func() time.Duration) *deliveries {
	return &deliveries{deliver: deliver, clock: clock, pausing: make(chan struct{}, 1),
		pauses: make(map[*window]time.Duration)}
}

// wake says that there may be something for the streams of these windows.
func (d *deliveries) wake(windows ...*window) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range windows {
		d.wakeLocked(w.stream)
	}
	d.hireLocked()
}

func (d *deliveries) wakeLocked(st *stream) {
	switch st.turn {
	case turnIdle:
		st.turn = turnReady
		d.ready = append(d.ready, st)
	case turnTaken:
		st.turn = turnTakenOn
	}
}

// hireLocked starts as many workers as there are streams in the list, within the bound: those that are there already have
// a stream each.
func (d *deliveries) hireLocked() {
	for n := len(d.ready); n > 0 && d.workers < maxDeliverers && !d.closed; n-- {
		d.workers++
		d.group.Go(d.work)
	}
}

func (d *deliveries) work() {
	for st := d.take(); st != nil; st = d.take() {
		d.deliver(st)
	}
}

// take is the next stream that is ready; nil ends a worker.
func (d *deliveries) take() *stream {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ready) == 0 || d.closed {
		d.ready = nil
		d.workers--
		return nil
	}
	st := d.ready[0]
	d.ready[0] = nil
	d.ready = d.ready[1:]
	st.turn = turnTaken
	return st
}

// finish ends a stream's turn. If there is more for it, it stands at the end of the list again.
func (d *deliveries) finish(st *stream, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	more = more || st.turn == turnTakenOn
	st.turn = turnIdle
	if more {
		d.wakeLocked(st)
		d.hireLocked()
	}
}

// pause has a window's stream woken at a time, or soon after.
func (d *deliveries) pause(w *window, until time.Duration) {
	d.mu.Lock()
	d.pauses[w] = until
	d.mu.Unlock()
	select {
	case d.pausing <- struct{}{}:
	default:
	}
}

// serve ends pauses until ctx ends.
func (d *deliveries) serve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.pausing:
		}
		for d.resume(d.clock()) > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pauseTick):
			}
		}
	}
}

// resume wakes the streams of the windows whose pause is over, and returns how many others there are.
func (d *deliveries) resume(now time.Duration) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w, until := range d.pauses {
		if until <= now {
			delete(d.pauses, w)
			d.wakeLocked(w.stream)
		}
	}
	d.hireLocked()
	return len(d.pauses)
}

// close begins nothing more; wait returns when what is under way has ended.
func (d *deliveries) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}

func (d *deliveries) wait() { d.group.Wait() }
