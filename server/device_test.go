package server

import (
	"net/netip"
	"testing"
	"time"

	"multichat/internal/chat"
)

// fakeClock stands still.
func fakeClock(now time.Duration) func() time.Duration { return func() time.Duration { return now } }

func TestAClientThatTakesNothingIsLeftAloneEverLonger(t *testing.T) {
	d := &device{}
	now := time.Hour
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		if !d.beginPush(now) {
			t.Fatalf("round %d: no push %v after the last", i, now)
		}
		d.failed(now)
		d.endPush()
		if d.beginPush(now + want*time.Second - 1) {
			t.Fatalf("round %d: a push less than %d s after the last", i, want)
		}
		now += want * time.Second
	}
	for range 100 {
		d.failed(now) // it never overflows
	}
	if !d.beginPush(now + maxBackoff) {
		t.Error("no push after the longest pause")
	}
	d.endPush()
	d.succeeded()
	if !d.beginPush(now) {
		t.Error("no push at once after a receipt")
	}
	d.endPush()
	d.failed(now)
	if !d.beginPush(now + minBackoff) {
		t.Error("after a receipt the first pause is the shortest again")
	}
	d.endPush()
	d.failed(now)
	d.inbox.box, d.broadcast.box = &mailbox{}, &mailbox{}
	d.returned(chat.Cursor{}, now)
	if !d.beginPush(now) {
		t.Error("no push at once to a client that was away")
	}
}

func TestADeviceIsForgottenWhenItHasNothingToDo(t *testing.T) {
	const polled = time.Hour
	for _, test := range []struct {
		name   string
		change func(*device)
		after  time.Duration
		want   bool
	}{
		{"it polls", func(*device) {}, deviceIdle - 1, false},
		{"it has not polled for long", func(*device) {}, deviceIdle, true},
		{"it is pushed to", func(d *device) { d.pushing = true }, deviceIdle, false},
		{"its cursor is not stored", func(d *device) { d.dirty = true }, deviceIdle, false},
	} {
		table := newDevices()
		d := table.add(&device{key: deviceKey{user: "bob"}})
		d.polled.Store(int64(polled))
		d.stored = polled
		test.change(d)
		forgotten, _ := table.sweep(polled + test.after)
		if got := len(forgotten) == 1 && table.lookup(d.key) == nil; got != test.want {
			t.Errorf("%s: forgotten: %v", test.name, got)
		}
		if test.want && d.beginPush(1<<62) {
			t.Errorf("%s: a device that is forgotten can be pushed to", test.name)
		}
	}
}

func TestTheStoreHearsNowAndThenOfADeviceThatPolls(t *testing.T) {
	table := newDevices()
	d := table.add(&device{key: deviceKey{user: "bob"}, bookmark: bookmark{seen: time.Minute}})
	for _, test := range []struct {
		now  time.Duration
		want int
	}{{time.Minute + seenInterval, 0}, {time.Minute + seenInterval + 1, 1}} {
		d.polled.Store(int64(test.now))
		if _, unseen := table.sweep(test.now); len(unseen) != test.want {
			t.Errorf("%v after the store heard of it: %d devices are unseen, want %d", test.now-d.seen, len(unseen), test.want)
		}
	}
}

func TestDeviceNames(t *testing.T) {
	seen := make(map[chat.DeviceID]bool)
	for _, client := range []string{"127.0.0.1", "255.255.255.255", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		for _, port := range []uint16{0, 10001, 65535} {
			id := deviceKey{"bob", netip.MustParseAddr(client), port}.id()
			if err := chat.CheckDeviceID(id); err != nil {
				t.Errorf("%s port %d: %q: %v", client, port, id, err)
			}
			if seen[id] {
				t.Errorf("%q names two devices", id)
			}
			seen[id] = true
		}
	}
}

func TestAFeedNeverGoesBack(t *testing.T) {
	var f feed
	f.raise(5)
	f.raise(3)
	if f.at() != 5 {
		t.Errorf("it is at %d", f.at())
	}
}
