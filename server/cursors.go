package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// cursorWriter stores how far the devices of one shard have read: each device at most once in cursorInterval, and
// cursorBatch rows in a cursorTick, the interval stretching beyond that. What is lost with a process is a little of
// what was acknowledged, so that some messages come twice; never a message. While clients may be led away to another
// server, which begins where the store says, the interval is a tick. Who asks for it has a cursor stored at once.
type cursorWriter struct {
	shard chat.ShardNumber
	store Store
	log   *slog.Logger
	clock func() time.Duration
	asked chan struct{} // one slot: there are asks

	writing sync.Mutex   // one write at a time
	hurry   atomic.Int64 // until when the interval is a tick; as clock

	mu     sync.Mutex
	dirty  map[*bookmark]struct{} // bounded by the number of devices and streams
	asks   []cursorAsk
	closed bool // nothing is written any more
}

// cursorAsk is who waits for a cursor to be stored.
type cursorAsk struct {
	bookmark *bookmark
	done     func(*chat.Error) // called once, without a lock: it must not block
}

const (
	cursorInterval = 5 * time.Second
	cursorTick     = 200 * time.Millisecond
	cursorBatch    = 200 // so 1 000 rows a second
	cursorTimeout  = 5 * time.Second

	// maxCursorAsks is how many may wait for a shard to store a cursor; one more is answered busy.
	maxCursorAsks = 1 << 16

	// cursorHurry is how long clients may be led away after the servers have changed: a proxy sends them to a new one
	// once its link has lasted for 2 s.
	cursorHurry = 5 * time.Second

	// cursorLastTime is what may be spent on the last cursors when the server ends.
	cursorLastTime = 1500 * time.Millisecond
)

var (
	errCursorsBusy   = chat.Errorf(chat.CodeBusy, "too many acknowledgements wait to be stored; acknowledge again later")
	errCursorsSilent = chat.Errorf(chat.CodeUnavail,
		"your shard does not answer, so what you acknowledged is not known to be stored; acknowledge again")
	errReplaced = chat.Errorf(chat.CodeReplaced,
		"a newer stream of this device has taken over, or the device was forgotten since the user has too many")
)

func newCursorWriter(shard chat.ShardNumber, store Store, log *slog.Logger, clock func() time.Duration) *cursorWriter {
	return &cursorWriter{shard: shard, store: store, log: log, clock: clock,
		asked: make(chan struct{}, 1), dirty: make(map[*bookmark]struct{})}
}

// mark says that a device has read further than the store knows.
func (c *cursorWriter) mark(b *bookmark) {
	b.mu.Lock()
	marked := b.dirty // then it is in the table, or in a write that looks again afterwards
	b.mu.Unlock()
	if !marked {
		c.insert(b)
	}
}

func (c *cursorWriter) insert(b *bookmark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty[b] = struct{}{}
	b.mu.Lock()
	b.dirty = true
	b.mu.Unlock()
}

// last says that a device reads no further: what is not stored yet is with the next tick.
func (c *cursorWriter) last(b *bookmark) {
	b.mu.Lock()
	b.hasty = true
	b.mu.Unlock()
}

// ask has a cursor stored as it is now, whether or not it has changed, and calls done when it is, or with why it is not.
// Whatever is asked while one write is under way shares the next.
func (c *cursorWriter) ask(b *bookmark, done func(*chat.Error)) {
	if refusal := c.enqueue(cursorAsk{b, done}); refusal != nil {
		done(refusal)
		return
	}
	c.wakeUp()
}

func (c *cursorWriter) enqueue(a cursorAsk) *chat.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errCursorsSilent
	case len(c.asks) >= maxCursorAsks:
		return errCursorsBusy
	}
	c.asks = append(c.asks, a)
	return nil
}

func (c *cursorWriter) wakeUp() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// serve writes cursors until ctx ends, and then all that are left.
func (c *cursorWriter) serve(ctx context.Context) {
	tick := time.NewTicker(cursorTick)
	defer tick.Stop()
	var failing outage
	for {
		var err error
		select {
		case <-tick.C:
			_, err = c.writeDue(ctx, c.clock()-c.interval())
		case <-c.asked:
			err = c.writeAsked(ctx)
		case <-ctx.Done():
			c.drain(context.WithoutCancel(ctx))
			c.close()
			return
		}
		if ctx.Err() == nil {
			failing.report(c.log, err, "cursors cannot be stored; what was delivered may come again after a restart",
				"cursors are stored again")
		}
	}
}

func (c *cursorWriter) interval() time.Duration {
	if c.clock() < time.Duration(c.hurry.Load()) {
		return cursorTick
	}
	return cursorInterval
}

// drain writes all cursors that are not stored, for cursorLastTime at most. It may be called while serve runs, and comes
// back after what that has under way.
func (c *cursorWriter) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cursorLastTime)
	defer cancel()
	for {
		n, err := c.writeDue(ctx, c.clock())
		switch {
		case err == nil && n == 0:
			return
		case err != nil && ctx.Err() != nil:
			c.log.Warn("the last cursors were not stored; what was delivered may come again", "error", err)
			return
		case err != nil:
			pause(ctx, cursorTick/4)
		}
	}
}

// close refuses whoever still asks.
func (c *cursorWriter) close() {
	c.mu.Lock()
	c.closed = true
	asks := c.asks
	c.asks = nil
	c.mu.Unlock()
	for _, a := range asks {
		a.done(errCursorsSilent)
	}
}
