package main_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// streamLoad sends messages at an even pace, many unanswered at a time, and wants each to be stored.
type streamLoad struct {
	from     *streamClient
	to       string
	sent     int
	answered atomic.Int64
	longest  time.Duration // that one waited for its answer
	stop     chan struct{}
	done     sync.WaitGroup
}

// loadPace is half of what a user may send.
const loadPace = 10 * time.Millisecond

func startStreamLoad(t *testing.T, from *streamClient, to string) *streamLoad {
	l := &streamLoad{from: from, to: to, stop: make(chan struct{})}
	posted := make(chan time.Time, 4096) // in order
	l.done.Go(func() {
		defer close(posted)
		pace := time.NewTicker(loadPace)
		defer pace.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-pace.C:
			}
			posted <- time.Now()
			if err := from.post(fmt.Sprint("load", l.sent), to, fmt.Sprint("load ", l.sent)); err != nil {
				t.Errorf("message %d could not be sent: %v", l.sent, err)
				return
			}
			l.sent++
		}
	})
	l.done.Go(func() {
		for i := 0; ; i++ {
			at, more := <-posted
			if !more {
				return
			}
			reply, err := from.awaitReply(fmt.Sprint("load", i), 20*time.Second)
			if !strings.HasPrefix(reply, "ok;") {
				t.Errorf("message %d was answered %q, %v", i, reply, err)
			}
			l.longest = max(l.longest, time.Since(at))
			l.answered.Add(1)
		}
	})
	return l
}

// wantMore returns once n more messages have been answered.
func (l *streamLoad) wantMore(t *testing.T, n int64) {
	t.Helper()
	begin := l.answered.Load()
	proctest.Eventually(t, 30*time.Second, func() error {
		if more := l.answered.Load() - begin; more < n {
			return fmt.Errorf("%d of %d more messages have been answered", more, n)
		}
		return nil
	})
}

func (l *streamLoad) end() {
	close(l.stop)
	l.done.Wait()
}

// wantAllDelivered wants everything, each once and in the order sent, on the one connection that the client has had all
// the time.
func (l *streamLoad) wantAllDelivered(t *testing.T, to *streamClient) {
	t.Helper()
	var want []string
	for i := range l.sent {
		want = append(want, fmt.Sprint("load ", i))
	}
	to.waitTexts(t, want...)
	to.wantRising(t)
}
