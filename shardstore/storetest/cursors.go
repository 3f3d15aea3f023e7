package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
)

var cursorTests = map[string]func(*testing.T, *rig){
	"a first device starts with everything that waits":      testFirstDevice,
	"a further device starts where the most advanced is":    testFurtherDevice,
	"what was opened is read again, and writes nothing":     testOpenAgain,
	"a batch opens old, new and impossible devices":         testOpenBatch,
	"beyond 32 devices the one unseen longest is forgotten": testMaxDevices,
	"a cursor only rises":                                   testOnlyRises,
	"a raise of what is gone makes nothing":                 testRaiseGone,
}

func (r *rig) openCursor(user chat.UserID, device chat.DeviceID) chat.Cursor {
	r.t.Helper()
	d := chat.Device{User: user, ID: device}
	cursors, err := r.OpenCursors(r.t.Context(), r.shard, []chat.Device{d})
	if err != nil {
		r.t.Fatal(err)
	}
	if cursors[0].Device != d {
		r.t.Fatalf("the cursor of %v is %+v", d, cursors[0])
	}
	return cursors[0]
}

// raise raises cursors of which none is outdated.
func (r *rig) raise(cursors ...chat.Cursor) {
	r.t.Helper()
	if outdated := r.tryRaise(cursors...); len(outdated) > 0 {
		r.t.Fatalf("outdated: %v", outdated)
	}
}

func (r *rig) tryRaise(cursors ...chat.Cursor) (outdated []chat.Device) {
	r.t.Helper()
	outdated, err := r.RaiseCursors(r.t.Context(), r.shard, cursors)
	if err != nil {
		r.t.Fatal(err)
	}
	return outdated
}

func testFirstDevice(t *testing.T, r *rig) {
	before := r.send(chat.Everyone, "before dave")
	r.addUser("dave")
	r.send("dave", "1", "2")
	r.send(chat.Everyone, "3")
	c := r.openCursor("dave", "phone")
	if c.Broadcast != before[0] || c.Session != 0 || time.Since(c.Seen).Abs() > time.Minute {
		t.Errorf("%+v; want broadcasts from %v, seen now", c, before[0])
	}
	page, err := r.Page(t.Context(), "dave", c.Inbox, 1<<62, 10, 1000)
	if err != nil || texts(page) != "1 2 " {
		t.Errorf("what waits: %s, %v", texts(page), err)
	}
}

func testFurtherDevice(t *testing.T, r *rig) {
	own, all := r.send("bob", "1", "2"), r.send(chat.Everyone, "3", "4")
	phone, tablet := r.openCursor("bob", "phone"), r.openCursor("bob", "tablet")
	phone.Inbox, phone.Broadcast = own[1], all[0]
	tablet.Inbox, tablet.Broadcast = own[0], all[1]
	r.raise(phone, tablet)
	if c := r.openCursor("bob", "third"); c.Inbox != own[1] || c.Broadcast != all[1] {
		t.Errorf("%+v; want %v and %v", c, own[1], all[1])
	}
}

func testOpenAgain(t *testing.T, r *rig) {
	first := r.openCursor("bob", "phone")
	first.Inbox = r.send("bob", "1")[0]
	r.raise(first)
	before := r.head()
	if again := r.openCursor("bob", "phone"); again != first {
		t.Errorf("%+v, want %+v", again, first)
	}
	if r.head() != before {
		t.Error("something was written")
	}
}

func testOpenBatch(t *testing.T, r *rig) {
	old := r.openCursor("bob", "old")
	before := r.head()
	devices := []chat.Device{
		{User: "bob", ID: "new"}, {User: "nobody", ID: "x"}, old.Device, {User: "carol", ID: "new"}, {User: "bob", ID: "new"},
	}
	got, err := r.OpenCursors(t.Context(), r.shard, devices)
	if err != nil {
		t.Fatal(err)
	}
	if got[1] != (chat.Cursor{}) || got[2] != old || got[4] != got[0] {
		t.Errorf("%+v", got)
	}
	for _, i := range []int{0, 3} {
		if got[i].Device != devices[i] {
			t.Errorf("the cursor of %v is %+v", devices[i], got[i])
		}
	}
	if after := r.head(); after.Newest.Counter() != before.Newest.Counter()+1 {
		t.Errorf("the batch took the seqs from %v to %v, want one", before.Newest, after.Newest)
	}
	before = r.head()
	got, err = r.OpenCursors(t.Context(), r.shard, devices[1:2])
	if err != nil || got[0] != (chat.Cursor{}) || r.head() != before {
		t.Errorf("a user who does not exist: %+v, %v", got, err)
	}
}

func testMaxDevices(t *testing.T, r *rig) {
	var want []chat.DeviceID
	now := time.Now()
	for i := range chat.MaxDevices {
		id := chat.DeviceID(fmt.Sprintf("%02d", i))
		c := r.openCursor("bob", id)
		c.Seen = now.Add(time.Duration(i) * time.Second)
		if i == 7 {
			c.Seen = now // what was seen a moment after it was opened
			r.exec("UPDATE `cursor` SET seen_at = 1 WHERE device = ?", []byte(id))
		} else {
			r.raise(c)
			want = append(want, id)
		}
	}
	r.openCursor("carol", "hers")
	r.openCursor("bob", "33rd")
	if want = append(want, "33rd"); !slices.Equal(r.devices("bob"), want) {
		t.Errorf("remembered: %v\nwant: %v", r.devices("bob"), want)
	}
	if len(r.devices("carol")) != 1 {
		t.Error("another user's device was forgotten")
	}
}

func testOnlyRises(t *testing.T, r *rig) {
	c := r.openCursor("bob", "phone")
	seqs := r.send("bob", "1", "2", "3")
	later := c.Seen.Add(time.Minute)
	high, low := c, c
	high.Inbox, high.Broadcast, high.Seen = seqs[1], seqs[0], later
	low.Inbox, low.Broadcast, low.Seen = seqs[0], seqs[2], c.Seen.Add(time.Second)
	r.raise(high, low)
	want := c
	want.Inbox, want.Broadcast, want.Seen = seqs[1], seqs[2], later
	if got := r.openCursor("bob", "phone"); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	low.Seen = time.Time{}
	r.exec("UPDATE `cursor` SET seen_at = 1")
	r.raise(low)
	if got := r.openCursor("bob", "phone"); time.Since(got.Seen).Abs() > time.Minute {
		t.Errorf("a raise without a time was seen at %v, want now", got.Seen)
	}
}

func testRaiseGone(t *testing.T, r *rig) {
	seq := r.send("bob", "1")[0]
	gone := chat.Cursor{Device: chat.Device{User: "bob", ID: "gone"}, Inbox: seq}
	goneToo := chat.Cursor{Device: chat.Device{User: "bob", ID: "gone too"}, Inbox: seq, Session: chat.NextSession(0, 1)}
	here := r.openCursor("bob", "here")
	here.Inbox = seq
	before := r.head()
	if got := r.tryRaise(gone, here, goneToo); !slices.Equal(got, []chat.Device{goneToo.Device}) {
		t.Errorf("outdated are %v; want the one that had a session", got)
	}
	if got := r.openCursor("bob", "here"); got.Inbox != seq {
		t.Errorf("the other of the batch: %+v", got)
	}
	if got := r.devices("bob"); len(got) != 1 {
		t.Errorf("devices: %v", got)
	}
	if r.head() != before {
		t.Error("raising took a seq")
	}
}
