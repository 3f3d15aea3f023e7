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
// server, which begins where the store says, the interval is a tick.
type cursorWriter struct {
	shard chat.ShardNumber
	store Store
	log   *slog.Logger
	clock func() time.Duration

	writing sync.Mutex   // one write at a time
	hurry   atomic.Int64 // until when the interval is a tick; as clock

	mu    sync.Mutex
	dirty map[*device]struct{} // bounded by the number of devices
}

const (
	cursorInterval = 5 * time.Second
	cursorTick     = 200 * time.Millisecond
	cursorBatch    = 200 // so 1 000 rows a second
	cursorTimeout  = 5 * time.Second

	// cursorHurry is how long clients may be led away after the servers have changed: a proxy sends them to a new one
	// once its link has lasted for 2 s.
	cursorHurry = 5 * time.Second

	// cursorLastTime is what may be spent on the last cursors when the server ends.
	cursorLastTime = 1500 * time.Millisecond
)

func newCursorWriter(shard chat.ShardNumber, store Store, log *slog.Logger, clock func() time.Duration) *cursorWriter {
	return &cursorWriter{shard: shard, store: store, log: log, clock: clock,
		dirty: make(map[*device]struct{})}
}

// mark says that d has read further than the store knows.
func (c *cursorWriter) mark(d *device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty[d] = struct{}{}
	d.mu.Lock()
	d.dirty = true
	d.mu.Unlock()
}

// serve writes cursors until ctx ends, and then all that are left.
func (c *cursorWriter) serve(ctx context.Context) {
	tick := time.NewTicker(cursorTick)
	defer tick.Stop()
	var failing outage
	for {
		select {
		case <-tick.C:
			_, err := c.writeDue(ctx, c.clock()-c.interval())
			if ctx.Err() != nil {
				continue
			}
			failing.report(c.log, err, "cursors cannot be stored; what was delivered may come again after a restart",
				"cursors are stored again")
		case <-ctx.Done():
			c.drain(context.WithoutCancel(ctx))
			return
		}
	}
}

func (c *cursorWriter) interval() time.Duration {
	if c.clock() < time.Duration(c.hurry.Load()) {
		return cursorTick
	}
	return cursorInterval
}

// drain writes all cursors that are not stored. It may be called while serve runs, and comes back after what that has
// under way.
func (c *cursorWriter) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cursorLastTime)
	defer cancel()
	for {
		n, err := c.writeDue(ctx, c.clock())
		if err != nil {
			c.log.Warn("the last cursors were not stored; what was delivered may come again", "error", err)
		}
		if n == 0 || err != nil {
			return
		}
	}
}

// writeDue stores up to cursorBatch cursors that were stored no later than before, and returns how many there were.
func (c *cursorWriter) writeDue(ctx context.Context, before time.Duration) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	devices := c.take(before)
	return len(devices), c.write(ctx, devices)
}

// writeUsers stores the cursors of all devices of these users now.
func (c *cursorWriter) writeUsers(ctx context.Context, users map[chat.UserID]bool) error {
	if len(users) == 0 {
		return nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	var devices []*device
	for d := range c.dirty {
		if users[d.key.user] {
			delete(c.dirty, d)
			devices = append(devices, d)
		}
	}
	c.mu.Unlock()
	return c.write(ctx, devices)
}

// take picks up to cursorBatch dirty devices whose cursors were stored no later than before.
func (c *cursorWriter) take(before time.Duration) []*device {
	c.mu.Lock()
	defer c.mu.Unlock()
	var devices []*device
	for d := range c.dirty {
		d.mu.Lock()
		due := d.stored <= before || d.stored == 0
		d.mu.Unlock()
		if due {
			delete(c.dirty, d)
			devices = append(devices, d)
		}
		if len(devices) == cursorBatch {
			break
		}
	}
	return devices
}

// write stores the cursors of devices that were taken; if that fails they are dirty again.
func (c *cursorWriter) write(ctx context.Context, devices []*device) error {
	if len(devices) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cursorTimeout)
	defer cancel()
	cursors := make([]chat.Cursor, len(devices))
	for i, d := range devices {
		cursors[i] = d.cursor()
	}
	if err := c.store.RaiseCursors(ctx, c.shard, cursors); err != nil {
		for _, d := range devices {
			c.mark(d)
		}
		return err
	}
	now := c.clock()
	for i, d := range devices {
		d.mu.Lock()
		d.stored, d.seen = now, now
		d.mu.Unlock()
		c.settle(d, cursors[i])
	}
	return nil
}

// settle makes d clean if its cursor as it was stored is still where it has read to.
func (c *cursorWriter) settle(d *device, stored chat.Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.dirty[d]; again {
		return
	}
	d.mu.Lock()
	d.dirty = d.inbox.at() != stored.Inbox || d.broadcast.at() != stored.Broadcast
	if d.dirty {
		c.dirty[d] = struct{}{}
	}
	d.mu.Unlock()
}
