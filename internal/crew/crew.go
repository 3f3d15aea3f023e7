// Package crew runs goroutines: a bounded number at once, none after the end has begun, and whoever ends it can wait for
// those that still run.
package crew

import (
	"errors"
	"sync"
)

// What Run says when it does not run something.
var (
	ErrFull   = errors.New("too many are running")
	ErrClosed = errors.New("the end has begun")
)

// Crew is a bounded number of goroutines. Its methods may be called by many.
type Crew struct {
	max int

	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{} // closed when the crew is, and its last goroutine has returned
}

// New makes a crew of at most max.
func New(max int) *Crew {
	return &Crew{max: max, idle: make(chan struct{})}
}

// Run starts f in a goroutine, or says ErrFull or ErrClosed.
func (c *Crew) Run(f func()) error {
	if err := c.enter(); err != nil {
		return err
	}
	go c.work(f)
	return nil
}

// Do runs f in the caller's own goroutine, which counts as one of the crew meanwhile; or it says ErrFull or ErrClosed.
func (c *Crew) Do(f func()) error {
	if err := c.enter(); err != nil {
		return err
	}
	c.work(f)
	return nil
}

func (c *Crew) work(f func()) {
	defer c.leave()
	f()
}

func (c *Crew) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.running >= c.max:
		return ErrFull
	}
	c.running++
	return nil
}

func (c *Crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.closed && c.running == 0 {
		close(c.idle)
	}
}

// Running is how many run now.
func (c *Crew) Running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// Closed says that the end has begun.
func (c *Crew) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close begins the end: nothing more is started. The channel it returns is closed when what runs has returned.
func (c *Crew) Close() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		if c.running == 0 {
			close(c.idle)
		}
	}
	return c.idle
}
