package server

import (
	"context"
	"slices"
	"time"

	"multichat/internal/chat"
)

// writeDue stores up to cursorBatch cursors that were stored no later than before, and returns how many there were.
func (c *cursorWriter) writeDue(ctx context.Context, before time.Duration) (int, error) {
	w := c.write(ctx, func() []*bookmark { return c.take(before) })
	return len(w.bookmarks), w.err
}

// writeUsers stores the cursors of all devices of these users now.
func (c *cursorWriter) writeUsers(ctx context.Context, users map[chat.UserID]bool) error {
	if len(users) == 0 {
		return nil
	}
	return c.write(ctx, func() []*bookmark { return c.takeUsers(users) }).err
}

// writeAsked stores the cursors that were asked for, and answers.
func (c *cursorWriter) writeAsked(ctx context.Context) error {
	var asks []cursorAsk
	w := c.write(ctx, func() (asked []*bookmark) {
		asks, asked = c.takeAsked()
		return asked
	})
	for _, a := range asks {
		switch {
		case w.err != nil:
			a.done(errCursorsSilent.Because(w.err))
		case w.outdated[a.bookmark]:
			a.done(errReplaced)
		default:
			a.done(nil)
		}
	}
	return w.err
}

// take picks up to cursorBatch dirty bookmarks whose cursors were stored no later than before.
func (c *cursorWriter) take(before time.Duration) (taken []*bookmark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := range c.dirty {
		b.mu.Lock()
		due := b.hasty || b.stored <= before || b.stored == 0
		b.mu.Unlock()
		if due {
			delete(c.dirty, b)
			taken = append(taken, b)
		}
		if len(taken) == cursorBatch {
			break
		}
	}
	return taken
}

func (c *cursorWriter) takeUsers(users map[chat.UserID]bool) (taken []*bookmark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := range c.dirty {
		if users[b.of.owner()] {
			delete(c.dirty, b)
			taken = append(taken, b)
		}
	}
	return taken
}

// takeAsked picks the asks that were made first, and each of their bookmarks once.
func (c *cursorWriter) takeAsked() (asks []cursorAsk, asked []*bookmark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[*bookmark]bool)
	for len(asks) < len(c.asks) && len(asked) < cursorBatch {
		a := c.asks[len(asks)]
		asks = append(asks, a)
		if !seen[a.bookmark] {
			seen[a.bookmark] = true
			delete(c.dirty, a.bookmark)
			asked = append(asked, a.bookmark)
		}
	}
	if c.asks = c.asks[len(asks):]; len(c.asks) == 0 {
		c.asks = nil
	} else {
		c.wakeUp()
	}
	return asks, asked
}

// cursorWrite is a write that was made.
type cursorWrite struct {
	bookmarks []*bookmark
	cursors   []chat.Cursor
	outdated  map[*bookmark]bool // those whose device has another login by now
	err       error
}

// write stores the cursors of the bookmarks that pick takes out of the table; if that fails they are dirty again.
func (c *cursorWriter) write(ctx context.Context, pick func() []*bookmark) cursorWrite {
	c.writing.Lock()
	w := cursorWrite{bookmarks: pick()}
	if len(w.bookmarks) > 0 {
		c.do(ctx, &w)
	}
	c.writing.Unlock()
	for b := range w.outdated {
		b.of.outdated()
	}
	return w
}

func (c *cursorWriter) do(ctx context.Context, w *cursorWrite) {
	ctx, cancel := context.WithTimeout(ctx, cursorTimeout)
	defer cancel()
	w.prepare()
	var outdated []chat.Device
	if outdated, w.err = c.store.RaiseCursors(ctx, c.shard, w.current()); w.err != nil {
		for _, b := range w.bookmarks {
			c.insert(b)
		}
		return
	}
	w.note(outdated)
	now := c.clock()
	for i, b := range w.bookmarks {
		b.mu.Lock()
		b.stored, b.seen = now, now
		b.mu.Unlock()
		c.settle(b, w.cursors[i], w.outdated[b])
	}
}

// prepare makes the cursors. Of two with the same device, the older session is outdated: the shard has a newer one.
func (w *cursorWrite) prepare() {
	newest := make(map[chat.Device]int, len(w.bookmarks))
	w.cursors = make([]chat.Cursor, len(w.bookmarks))
	w.outdated = make(map[*bookmark]bool)
	for i, b := range w.bookmarks {
		w.cursors[i] = b.cursor()
		other, twice := newest[w.cursors[i].Device]
		switch {
		case !twice:
			newest[w.cursors[i].Device] = i
		case w.bookmarks[other].session > b.session:
			w.outdated[b] = true
		default:
			w.outdated[w.bookmarks[other]] = true
			newest[w.cursors[i].Device] = i
		}
	}
}

// current are the cursors that are not known to be outdated.
func (w *cursorWrite) current() []chat.Cursor {
	current := make([]chat.Cursor, 0, len(w.cursors))
	for i, b := range w.bookmarks {
		if !w.outdated[b] {
			current = append(current, w.cursors[i])
		}
	}
	return current
}

// note takes what the shard has found outdated.
func (w *cursorWrite) note(outdated []chat.Device) {
	if len(outdated) == 0 {
		return
	}
	for i, c := range w.cursors {
		if slices.Contains(outdated, c.Device) {
			w.outdated[w.bookmarks[i]] = true
		}
	}
}

// settle makes b clean if its cursor as it was stored is still where it has read to, or if it cannot be stored.
func (c *cursorWriter) settle(b *bookmark, stored chat.Cursor, outdated bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.dirty[b]; again {
		return
	}
	b.mu.Lock()
	b.dirty = !outdated && (b.inbox.at() != stored.Inbox || b.broadcast.at() != stored.Broadcast)
	if b.dirty {
		c.dirty[b] = struct{}{}
	}
	b.mu.Unlock()
}
