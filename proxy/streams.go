package proxy

import (
	"context"
	"sync"
	"time"

	"multichat/internal/chat"
)

const (
	// maxStreams bounds the open streams, those that are logging in too, and so the takeovers. An edge takes fewer.
	maxStreams = 64 << 10

	// expireEvery is how often streams are looked through for calls that have waited too long.
	expireEvery = 500 * time.Millisecond
)

// streams are those that are open.
type streams struct {
	mu    sync.Mutex // comes before the streams' own
	open  map[*stream]struct{}
	ended bool // no more are opened
}

func newStreams() *streams { return &streams{open: make(map[*stream]struct{})} }

// add refuses a stream when there are too many, or when the proxy is about to end.
func (t *streams) add(s *stream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended:
		return chat.Errorf(chat.CodeUnavail, "this node is shutting down; log in elsewhere")
	case len(t.open) >= maxStreams:
		return chat.Errorf(chat.CodeBusy, "too many streams are open here; try again later, or elsewhere")
	}
	t.open[s] = struct{}{}
	return nil
}

func (t *streams) forget(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, s)
}

// overdue are the streams with a call that has waited too long by now.
func (t *streams) overdue(now time.Time) (late []*stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.open {
		if s.overdue(now) {
			late = append(late, s)
		}
	}
	return late
}

// end gives the streams that are still open; there will be no more.
func (t *streams) end() []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	open := make([]*stream, 0, len(t.open))
	for s := range t.open {
		open = append(open, s)
	}
	return open
}

// serveExpiry answers calls that no server has answered in time, until ctx ends.
func (p *Proxy) serveExpiry(ctx context.Context) {
	ticks := time.NewTicker(expireEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			for _, s := range p.streams.overdue(now) {
				s.expire(now)
			}
		}
	}
}

// endStreams ends all streams, and waits until nobody takes one over any more. Their clients are told to log in elsewhere.
func (p *Proxy) endStreams() {
	idle := p.takeovers.Close()
	for _, s := range p.streams.end() {
		s.end(nil)
	}
	<-idle
}
