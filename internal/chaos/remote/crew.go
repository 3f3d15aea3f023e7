package remote

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"multichat/internal/chaos"
	"multichat/internal/checker"
)

// Crew is the driver's end of a run's clients. It implements [chaos.Clients], and [chaos.Journal] for what else happens.
type Crew struct {
	listener net.Listener
	task     Task
	sorter   *sorter
	group    sync.WaitGroup

	mu      sync.Mutex
	members []*member // by number, less one
	joined  chan struct{}
	begun   int
	ready   chan struct{} // closed when all have begun
	ended   bool          // they may go
	failed  error
	fails   chan struct{} // closed at the first failure
}

// member is a client's process that has come.
type member struct {
	gob *gob.Encoder // for one goroutine: that of Begin, and then that of the orders
}

// NewCrew makes a crew of clients that come to the listener, which is the crew's from then on. What they tell goes to the
// recorder.
func NewCrew(listener net.Listener, task Task, recorder *chaos.Recorder) *Crew {
	n := task.Streams + task.Libraries + task.Olds
	return &Crew{listener: listener, task: task, sorter: newSorter(n, recorder.Take), members: make([]*member, n),
		joined: make(chan struct{}, n), ready: make(chan struct{}), fails: make(chan struct{})}
}

// Add writes down what the driver itself does, as of now.
func (c *Crew) Add(r checker.Record) {
	c.sorter.add(r)
}

// Begin waits until all clients have come, gives them their task, and waits until they read.
func (c *Crew) Begin(ctx context.Context) error {
	c.group.Go(c.accept)
	for range c.members {
		if err := c.await(ctx, c.joined, "not all clients have come"); err != nil {
			return err
		}
	}
	for _, m := range c.members {
		if err := m.gob.Encode(c.task); err != nil {
			return fmt.Errorf("giving a client its task: %w", err)
		}
	}
	return c.await(ctx, c.ready, "not all clients get what is sent to them")
}

func (c *Crew) await(ctx context.Context, what <-chan struct{}, otherwise string) error {
	select {
	case <-what:
		return nil
	case <-c.fails:
		return c.failure()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", otherwise, ctx.Err())
	}
}

// Send has the clients send, until Pause.
func (c *Crew) Send() { c.order(send) }

// Pause has nobody send anything new.
func (c *Crew) Pause() { c.order(pause) }

// End ends the clients, and returns when they have told everything. The error is that of the first that could not go on.
func (c *Crew) End() error {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.order(end)
	c.listener.Close()
	c.group.Wait()
	c.sorter.finish()
	return c.failure()
}

// order tells all clients something. One that cannot be told has gone, and its reader says so.
func (c *Crew) order(o order) {
	for _, m := range c.all() {
		m.gob.Encode(o)
	}
}

func (c *Crew) all() (members []*member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m != nil {
			members = append(members, m)
		}
	}
	return members
}

func (c *Crew) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return // it was closed
		}
		c.group.Go(func() {
			defer conn.Close()
			c.serve(conn)
		})
	}
}

// serve takes what one client tells.
func (c *Crew) serve(conn net.Conn) {
	in := gob.NewDecoder(bufio.NewReader(conn))
	var h hello
	conn.SetReadDeadline(time.Now().Add(silence))
	if err := in.Decode(&h); err != nil {
		c.fail(fmt.Errorf("reading a client's hello: %w", err))
		return
	}
	if err := c.join(h, conn); err != nil {
		c.fail(err)
		return
	}
	err := c.read(in, h.Number-1, conn)
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if !ended {
		c.fail(fmt.Errorf("client %d has gone: %w", h.Number, err))
	}
	c.sorter.leave(h.Number - 1)
}

func (c *Crew) join(h hello, conn net.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return fmt.Errorf("client %d came when the run had ended", h.Number)
	}
	if h.Number < 1 || h.Number > len(c.members) || c.members[h.Number-1] != nil {
		return fmt.Errorf("a client came as number %d, which is taken, or not between 1 and %d", h.Number, len(c.members))
	}
	c.members[h.Number-1] = &member{gob: gob.NewEncoder(conn)}
	c.joined <- struct{}{}
	return nil
}

// read returns at the end of what a client tells.
func (c *Crew) read(in *gob.Decoder, member int, conn net.Conn) error {
	for {
		var l line
		conn.SetReadDeadline(time.Now().Add(silence))
		if err := in.Decode(&l); err != nil {
			return err
		}
		switch {
		case l.Failed != "":
			c.fail(errors.New(l.Failed))
		case l.Begun:
			c.noteBegun()
		}
		c.sorter.take(member, l.Record)
	}
}

func (c *Crew) noteBegun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun++; c.begun == len(c.members) {
		close(c.ready)
	}
}

func (c *Crew) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
		close(c.fails)
	}
}

func (c *Crew) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}
