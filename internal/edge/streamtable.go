package edge

import (
	"sync"
	"sync/atomic"
)

// streamTable holds the streams that are open, so that they can be told of the edge's end. There are at most as many as
// connections are served.
type streamTable struct {
	output atomic.Int64 // bytes that wait for all clients

	mu      sync.Mutex
	open    map[*streamConn]struct{}
	leaving bool // bye is said to every stream
	ended   bool // every stream is ended
}

func newStreamTable() *streamTable {
	return &streamTable{open: make(map[*streamConn]struct{})}
}

// add registers a stream, and tells it what the others were told before.
func (t *streamTable) add(c *streamConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[c] = struct{}{}
	if t.leaving {
		c.leave()
	}
	if t.ended {
		c.end(ending{endBye, lingerTime}, nil)
	}
}

func (t *streamTable) remove(c *streamConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
}

// leave says bye to every stream. They go on until their clients close.
func (t *streamTable) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = true
	for c := range t.open {
		c.leave()
	}
}

func (t *streamTable) isLeaving() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaving
}

// end ends every stream.
func (t *streamTable) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for c := range t.open {
		c.end(ending{endBye, lingerTime}, nil)
	}
}
