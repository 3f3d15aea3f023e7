package server

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
)

func readTo(b *bookmark, inbox, broadcast chat.Seq) {
	b.inbox.raise(inbox)
	b.broadcast.raise(broadcast)
}

func TestACursorIsWrittenAtMostOnceInItsInterval(t *testing.T) {
	now := time.Hour
	c := newCursorWriter(0, nil, slog.New(slog.DiscardHandler), func() time.Duration { return now })
	fresh, recent, due := &bookmark{}, &bookmark{stored: now - cursorInterval + 1}, &bookmark{stored: now - cursorInterval}
	for _, b := range []*bookmark{fresh, recent, due} {
		c.mark(b)
		c.mark(b)
	}
	taken := c.take(now - cursorInterval)
	if len(taken) != 2 || slices.Contains(taken, recent) {
		t.Errorf("%d are taken, the recent one among them: %v; want the other two", len(taken), slices.Contains(taken, recent))
	}
	if again := c.take(now); !slices.Equal(again, []*bookmark{recent}) {
		t.Errorf("at the end %d are left, want the recent one", len(again))
	}
}

func TestCursorsOfOneTickAreBounded(t *testing.T) {
	c := newCursorWriter(0, nil, slog.New(slog.DiscardHandler), fakeClock(time.Hour))
	for range cursorBatch + 7 {
		c.mark(&bookmark{})
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
	b := &newDevice(deviceKey{user: "bob"}, 0).bookmark
	readTo(b, 5, 5)
	c.mark(b)
	for _, read := range []chat.Seq{6, 7} {
		c.take(time.Hour)
		stored := b.cursor()
		readTo(b, read, 5)
		c.settle(b, stored, false)
		if !b.dirty || len(c.dirty) != 1 {
			t.Fatalf("stored at %d, read to %d: dirty: %v", stored.Inbox, read, b.dirty)
		}
	}
	c.take(time.Hour)
	c.settle(b, b.cursor(), false)
	if b.dirty || len(c.dirty) != 0 {
		t.Error("still dirty when all is stored")
	}
}
