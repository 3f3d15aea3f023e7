package server

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
)

func readTo(d *device, inbox, broadcast chat.Seq) {
	d.inbox.raise(inbox)
	d.broadcast.raise(broadcast)
}

func TestACursorIsWrittenAtMostOnceInItsInterval(t *testing.T) {
	now := time.Hour
	c := newCursorWriter(0, nil, slog.New(slog.DiscardHandler), func() time.Duration { return now })
	fresh, recent, due := &device{}, &device{stored: now - cursorInterval + 1}, &device{stored: now - cursorInterval}
	for _, d := range []*device{fresh, recent, due} {
		c.mark(d)
		c.mark(d)
	}
	taken := c.take(now - cursorInterval)
	if len(taken) != 2 || slices.Contains(taken, recent) {
		t.Errorf("%d are taken, the recent one among them: %v; want the other two", len(taken), slices.Contains(taken, recent))
	}
	if again := c.take(now); !slices.Equal(again, []*device{recent}) {
		t.Errorf("at the end %d are left, want the recent one", len(again))
	}
}

func TestCursorsOfOneTickAreBounded(t *testing.T) {
	c := newCursorWriter(0, nil, slog.New(slog.DiscardHandler), fakeClock(time.Hour))
	for range cursorBatch + 7 {
		c.mark(&device{})
	}
	if first, second := len(c.take(time.Hour)), len(c.take(time.Hour)); first != cursorBatch || second != 7 {
		t.Errorf("%d and then %d are taken, want %d and 7", first, second, cursorBatch)
	}
}

// While clients may be led to another server, which begins where the store says, that is never far behind.
func TestCursorsAreWrittenAtOnceWhileClientsMove(t *testing.T) {
	now := time.Hour
	c := newCursorWriter(0, nil, slog.New(slog.DiscardHandler), func() time.Duration { return now })
	if got := c.interval(); got != cursorInterval {
		t.Errorf("as a rule the interval is %v, want %v", got, cursorInterval)
	}
	c.hurry.Store(int64(now + cursorHurry))
	if got := c.interval(); got != cursorTick {
		t.Errorf("while clients move it is %v, want %v", got, cursorTick)
	}
	now += cursorHurry
	if got := c.interval(); got != cursorInterval {
		t.Errorf("afterwards it is %v, want %v", got, cursorInterval)
	}
}

func TestADeviceThatReadOnWhileItsCursorWasWrittenIsWrittenAgain(t *testing.T) {
	c := newCursorWriter(0, nil, slog.New(slog.DiscardHandler), fakeClock(time.Hour))
	d := &device{}
	readTo(d, 5, 5)
	c.mark(d)
	for _, read := range []chat.Seq{6, 7} {
		c.take(time.Hour)
		stored := d.cursor()
		readTo(d, read, 5)
		c.settle(d, stored)
		if !d.dirty || len(c.dirty) != 1 {
			t.Fatalf("stored at %d, read to %d: dirty: %v", stored.Inbox, read, d.dirty)
		}
	}
	c.take(time.Hour)
	c.settle(d, d.cursor())
	if d.dirty || len(c.dirty) != 0 {
		t.Error("still dirty when all is stored")
	}
}
