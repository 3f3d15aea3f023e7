package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// newTurns are deliveries to n streams. deliver is called in the place of Server.deliver.
func newTurns(n int, clock func() time.Duration, deliver func(*deliveries, *stream)) (*deliveries, []*window) {
	var d *deliveries
	d = newDeliveries(func(st *stream) { deliver(d, st) }, clock)
	windows := make([]*window, n)
	for i := range windows {
		windows[i] = &window{stream: &stream{}}
	}
	return d, windows
}

func TestAStreamStandsInTheListOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		d, windows := newTurns(1, fakeClock(0), func(d *deliveries, st *stream) {
			turns++
			time.Sleep(time.Second)
			d.finish(st, false)
		})
		for range 10 {
			d.wake(windows...)
		}
		synctest.Wait()
		for range 10 {
			d.wake(windows...) // while it has its turn: it has one more
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if turns != 2 {
			t.Errorf("it had %d turns, want 2", turns)
		}
		if d.workers != 0 || d.ready != nil {
			t.Errorf("%d workers and a list of %d are left", d.workers, cap(d.ready))
		}
	})
}

func TestWorkersAreBoundedAndServeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, served := 0, 0, make(map[*stream]int)
		d, windows := newTurns(10*maxDeliverers, fakeClock(0), func(d *deliveries, st *stream) {
			mu.Lock()
			running++
			most = max(most, running)
			served[st]++
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			more := served[st] < 3
			mu.Unlock()
			d.finish(st, more)
		})
		d.wake(windows...)
		time.Sleep(time.Hour)
		synctest.Wait()
		if most != maxDeliverers || d.workers != 0 {
			t.Errorf("%d worked at once, %d still do", most, d.workers)
		}
		for _, w := range windows {
			if served[w.stream] != 3 {
				t.Fatalf("a stream had %d turns, want 3", served[w.stream])
			}
		}
	})
}

func TestAPausedStreamIsWokenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		clock := func() time.Duration { return time.Since(began) }
		woken := make(map[*stream]time.Duration)
		d, windows := newTurns(3, clock, func(d *deliveries, st *stream) {
			woken[st] = clock()
			d.finish(st, false)
		})
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { d.serve(ctx) })
		for i, pause := range []time.Duration{20 * time.Millisecond, time.Second, 500 * time.Millisecond} {
			d.pause(windows[i], clock()+pause)
		}
		other := &window{stream: windows[0].stream} // of the same stream: one does not put off the other
		d.pause(other, clock()+time.Minute)
		time.Sleep(10 * time.Second)
		d.mu.Lock()
		if len(d.pauses) != 1 {
			t.Errorf("%d pauses are left", len(d.pauses))
		}
		d.mu.Unlock()
		cancel()
		group.Wait()
		d.wait()
		for i, pause := range []time.Duration{20 * time.Millisecond, time.Second, 500 * time.Millisecond} {
			if at := woken[windows[i].stream]; at < pause || at > pause+2*pauseTick {
				t.Errorf("a stream was woken after %v, want %v", at, pause)
			}
		}
	})
}

func TestClosedDeliveriesBeginNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		d, windows := newTurns(2, fakeClock(0), func(d *deliveries, st *stream) {
			turns++
			time.Sleep(time.Second)
			d.finish(st, true)
		})
		d.wake(windows[0])
		synctest.Wait()
		d.close()
		d.wake(windows[1])
		d.wait()
		if turns != 1 {
			t.Errorf("%d turns, want the one that was under way", turns)
		}
	})
}
