package link

import (
	"errors"
	"sync"
)

// proxyStreams are the streams of a proxy's end by their ids, at most max. A stream has an id from before its login is
// sent until it is closed, or its login is refused.
type proxyStreams struct {
	max int

	mu    sync.Mutex
	last  uint64
	ended bool
	open  map[uint64]*proxyStream

	// Streams that found no room for something. A tick takes them out and tries again.
	stuck map[*proxyStream]struct{}
}

func newProxyStreams(max int) *proxyStreams {
	return &proxyStreams{max: max, open: make(map[uint64]*proxyStream), stuck: make(map[*proxyStream]struct{})}
}

// add gives a stream its id. The error is errFull or errClosed.
func (t *proxyStreams) add(st *proxyStream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended:
		return errClosed
	case len(t.open) >= t.max:
		return errFull
	}
	t.last++
	st.id = t.last
	t.open[st.id] = st
	return nil
}

// remove may be called for a stream that is not there.
func (t *proxyStreams) remove(st *proxyStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, st.id)
}

// find gives the stream, or nil, and whether its login was answered.
func (t *proxyStreams) find(id uint64) (st *proxyStream, entered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	st = t.open[id]
	return st, st != nil && st.entered
}

// answer hands the answer to a login to whoever waits for it.
func (t *proxyStreams) answer(id uint64, w welcome) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.open[id]
	switch {
	case st == nil:
		return nil
	case st.entered:
		return errors.New("it was answered before")
	case w != welcome{}:
		delete(t.open, id)
	}
	st.entered = true
	st.welcome <- w
	return nil
}

// abandon removes a stream whose login will not be answered anymore. If it was in the last moment, that is the answer.
func (t *proxyStreams) abandon(st *proxyStream) (w welcome, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if st.entered {
		return <-st.welcome, true
	}
	delete(t.open, st.id)
	return welcome{}, false
}

// endAll lets no more streams in, and gives those that are to be ended: those whose login is not answered are their
// callers' to abandon.
func (t *proxyStreams) endAll() (entered []*proxyStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for _, st := range t.open {
		if st.entered {
			entered = append(entered, st)
		}
	}
	return entered
}

// stick has the next tick try again what the stream has found no room for.
func (t *proxyStreams) stick(st *proxyStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stuck[st] = struct{}{}
}

func (t *proxyStreams) unstick() (stuck []*proxyStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for st := range t.stuck {
		stuck = append(stuck, st)
	}
	clear(t.stuck)
	return stuck
}

// retry is a tick.
func (t *proxyStreams) retry() {
	for _, st := range t.unstick() {
		st.retry()
	}
}
