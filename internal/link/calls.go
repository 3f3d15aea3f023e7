package link

import (
	"bytes"
	"sync"
)

// calls are the requests that wait for their replies, at most max at once.
type calls struct {
	max int

	mu      sync.Mutex
	last    uint64
	ended   bool
	waiting map[uint64]chan []byte
}

func newCalls(max int) *calls {
	return &calls{max: max, waiting: make(map[uint64]chan []byte)}
}

// open makes a new id. The reply will be sent on the channel; it is closed without one when the calls end. The error
// is errFull or errClosed.
func (c *calls) open() (uint64, <-chan []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return 0, nil, errClosed
	case len(c.waiting) >= c.max:
		return 0, nil, errFull
	}
	c.last++
	reply := make(chan []byte, 1)
	c.waiting[c.last] = reply
	return c.last, reply, nil
}

// answer gives a copy of reply to whoever waits for it. Nobody may: the caller can have given up.
func (c *calls) answer(id uint64, reply []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting, ok := c.waiting[id]; ok {
		waiting <- bytes.Clone(reply)
		delete(c.waiting, id)
	}
}

// forget frees the place of a call. It must follow every open.
func (c *calls) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// end lets everybody who waits know that no reply will come, and nobody wait anymore.
func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for id, waiting := range c.waiting {
		close(waiting)
		delete(c.waiting, id)
	}
}
