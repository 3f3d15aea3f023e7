package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
)

// A raise under a session that is not the device's any more is outdated: it changes nothing, and is told.

func testOutdated(t *testing.T, r *rig) {
	seqs := r.send("bob", "1", "2")
	older := r.login(login("phone", 1))[0]
	r.forgetSeen()
	newer := r.login(login("phone", 2))[0]
	tablet := r.login(login("tablet", 3))[0]
	old := r.openCursor("bob", "version 1")
	r.login(login("version 1", 4))
	older.Inbox, older.Broadcast, older.Seen = seqs[1], seqs[1], time.Now().Add(time.Hour).Truncate(time.Second)
	tablet.Inbox, old.Inbox = seqs[0], seqs[0]
	if got := r.tryRaise(older, tablet, older, old); !slices.Equal(got, []chat.Device{older.Device}) {
		t.Errorf("outdated are %v; want the phone alone", got)
	}
	for _, want := range []chat.Cursor{newer, tablet} {
		if got := r.openCursor("bob", want.Device.ID); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if got := r.openCursor("bob", "version 1"); got.Inbox == seqs[0] {
		t.Errorf("a raise without a session, of a device that has one: %+v", got)
	}
	newer.Inbox = seqs[1]
	r.raise(newer)
	if got := r.openCursor("bob", "phone"); got.Inbox != seqs[1] {
		t.Errorf("the newer login's own raise: %+v", got)
	}
}

func testRaiseUnchanged(t *testing.T, r *rig) {
	c := r.login(login("phone", 1))[0]
	r.raise(c)
	r.raise(c)
	r.raise(c, c)
}

// testOutdatedAfresh has a device forgotten while a stream has it; then it is made again, and its sessions begin anew.
func testOutdatedAfresh(t *testing.T, r *rig) {
	c := r.login(login("phone", 1), login("phone", 1))[1]
	r.exec("DELETE FROM `cursor`")
	newer := r.login(login("phone", 2))[0]
	c.Inbox = r.send("bob", "1")[0]
	if got := r.tryRaise(c); !slices.Equal(got, []chat.Device{c.Device}) {
		t.Errorf("outdated are %v; want the stream of session %d, since %d came after it", got, c.Session, newer.Session)
	}
	if got := r.openCursor("bob", "phone"); got != newer {
		t.Errorf("%+v, want %+v", got, newer)
	}
}

// testOutdatedPushedOut has the 33rd device of a user log in while the device that is unseen longest has a stream.
func testOutdatedPushedOut(t *testing.T, r *rig) {
	pushedOut := r.login(login("00", 1))[0]
	r.forgetSeen()
	var kept chat.Cursor
	for i := 1; i < chat.MaxDevices; i++ {
		kept = r.login(login(chat.DeviceID(fmt.Sprintf("%02d", i)), 1))[0]
	}
	r.login(login("33rd", 1))
	seq := r.send("bob", "1")[0]
	pushedOut.Inbox, kept.Inbox = seq, seq
	for range 2 {
		if got := r.tryRaise(pushedOut, kept, pushedOut); !slices.Equal(got, []chat.Device{pushedOut.Device}) {
			t.Errorf("outdated are %v; want the one that was pushed out, once", got)
		}
	}
	if got := r.openCursor("bob", kept.Device.ID); got.Inbox != seq {
		t.Errorf("the other of the batch: %+v; want it raised to %v", got, seq)
	}
	if slices.Contains(r.devices("bob"), pushedOut.Device.ID) {
		t.Error("the raise made the device again")
	}
}

func testOutdatedForgotten(t *testing.T, r *rig) {
	c := r.login(login("phone", 1))[0]
	old := r.openCursor("bob", "version 1")
	r.forgetSeen()
	if n, err := r.ForgetDevices(t.Context(), r.shard, time.UnixMilli(2), 10); n != 2 || err != nil {
		t.Fatalf("%d devices were forgotten, %v; want both", n, err)
	}
	if got := r.tryRaise(old); len(got) > 0 {
		t.Errorf("outdated are %v; want none, since it had no session", got)
	}
	if got := r.tryRaise(old, c); !slices.Equal(got, []chat.Device{c.Device}) {
		t.Errorf("outdated are %v; want the phone alone", got)
	}
}

// testOutdatedLarge raises more than one statement takes, of which some are gone, some replaced and some neither.
func testOutdatedLarge(t *testing.T, r *rig) {
	var cursors []chat.Cursor
	var want []chat.Device
	for u := range 12 {
		user := chat.UserID(fmt.Sprintf("user-%02d", u))
		r.addUser(user)
		for d := range 25 {
			device := chat.Device{User: user, ID: chat.DeviceID(fmt.Sprint(d))}
			cursors = append(cursors, chat.Cursor{Device: device, Session: session(1, 1)})
		}
	}
	rand.Shuffle(len(cursors), func(i, k int) { cursors[i], cursors[k] = cursors[k], cursors[i] })
	var here []chat.Login
	for i, c := range cursors {
		switch i % 3 {
		case 0: // gone
			want = append(want, c.Device)
		case 1: // replaced
			want = append(want, c.Device)
			here = append(here, chat.Login{Device: c.Device, Nonce: 2})
		case 2:
			here = append(here, chat.Login{Device: c.Device, Nonce: 1})
		}
	}
	r.login(here...)
	if got := r.tryRaise(cursors...); !slices.Equal(got, want) {
		t.Errorf("outdated are %d devices, %v\nwant %d, %v", len(got), got, len(want), want)
	}
}
