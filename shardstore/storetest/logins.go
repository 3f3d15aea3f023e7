package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/shardstore"
)

var loginTests = map[string]func(*testing.T, *rig){
	"a login begins the next session":                           testNextSession,
	"a login makes the cursor that opening would":               testFirstLogin,
	"a batch logs old, new and impossible devices in":           testLoginBatch,
	"a device may be in a batch more than once":                 testLoginTwice,
	"a large batch of logins is answered in order":              testLargeLogin,
	"a login of a 33rd device forgets the one unseen longest":   testLoginMaxDevices,
	"who takes over keeps a device that is its own":             testTakeOver,
	"who takes over does not get a device that another has":     testReplaced,
	"who takes over a device that was forgotten begins afresh":  testTakeOverGone,
	"a raise under another session changes nothing and is told": testOutdated,
	"a raise that changes nothing is not outdated":              testRaiseUnchanged,
	"a device that was forgotten meanwhile is the newer one's":  testOutdatedAfresh,
	"a raise of a device that was pushed out is told":           testOutdatedPushedOut,
	"a raise of a device that retention forgot is told":         testOutdatedForgotten,
	"a large raise tells all that are gone, in order":           testOutdatedLarge,
	"200 logins from two stores get 200 sessions":               testLoginsAtOnce,
	"a login beside raises loses none of them":                  testLoginBesideRaises,
	"logins and raises of many devices at once all succeed":     testManyLoginsAtOnce,
}

// login is a login of one of bob's devices.
func login(device chat.DeviceID, nonce uint32) chat.Login {
	return chat.Login{Device: chat.Device{User: "bob", ID: device}, Nonce: nonce}
}

func takeOver(device chat.DeviceID, nonce uint32) chat.Login {
	l := login(device, nonce)
	l.TakeOver = true
	return l
}

// session is the number of the n-th session, of a stream with this nonce.
func session(n int64, nonce uint32) int64 { return n*1_048_576 + int64(nonce) }

func (r *rig) login(logins ...chat.Login) []chat.Cursor {
	r.t.Helper()
	cursors, err := r.LoginDevices(r.t.Context(), r.shard, logins)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(cursors) != len(logins) {
		r.t.Fatalf("%d cursors for %d logins", len(cursors), len(logins))
	}
	return cursors
}

// forgetSeen makes all devices unseen since 1970.
func (r *rig) forgetSeen() { r.exec("UPDATE `cursor` SET seen_at = 1") }

const highestNonce = 1<<chat.SessionNonceBits - 1

func testNextSession(t *testing.T, r *rig) {
	c := r.openCursor("bob", "phone")
	c.Inbox, c.Broadcast = r.send("bob", "1")[0], r.send(chat.Everyone, "2")[0]
	r.raise(c)
	before := r.head()
	for i, nonce := range []uint32{7, highestNonce, 0, 7, 7} {
		r.forgetSeen()
		got := r.login(login("phone", nonce))[0]
		if time.Since(got.Seen).Abs() > time.Minute {
			t.Errorf("login %d: seen at %v, want now", i, got.Seen)
		}
		want := c
		want.Session, want.Seen = session(int64(i+1), nonce), got.Seen
		if got != want {
			t.Errorf("login %d: %+v, want %+v", i, got, want)
		}
		if again := r.openCursor("bob", "phone"); again != got {
			t.Errorf("login %d: stored: %+v, want %+v", i, again, got)
		}
		got.Inbox++
		r.raise(got)
		c = got
	}
	if after := r.head(); after != before {
		t.Errorf("the head went from %+v to %+v; want no seq to be taken", before, after)
	}
}

func testFirstLogin(t *testing.T, r *rig) {
	before := r.send(chat.Everyone, "before dave")
	r.addUser("dave")
	own, all := r.send("dave", "1", "2"), r.send(chat.Everyone, "3", "4")
	first := chat.Login{Device: chat.Device{User: "dave", ID: "first"}, Nonce: 5}
	c := r.login(first)[0]
	if c.Device != first.Device || c.Broadcast != before[0] || c.Session != session(1, 5) || time.Since(c.Seen).Abs() > time.Minute {
		t.Errorf("the first device: %+v; want broadcasts from %v in session %d, seen now", c, before[0], session(1, 5))
	}
	if page, err := r.Page(t.Context(), "dave", c.Inbox, 1<<62, 10, 1000); err != nil || texts(page) != "1 2 " {
		t.Errorf("what waits: %s, %v", texts(page), err)
	}
	if got := r.openCursor("dave", "first"); got != c {
		t.Errorf("stored: %+v, want %+v", got, c)
	}
	c.Inbox, c.Broadcast = own[1], all[0]
	r.raise(c)
	further := chat.Login{Device: chat.Device{User: "dave", ID: "further"}, Nonce: 6}
	if got := r.login(further)[0]; got.Inbox != own[1] || got.Broadcast != all[0] || got.Session != session(1, 6) {
		t.Errorf("a further device: %+v; want it at %v and %v", got, own[1], all[0])
	}
}

func testLoginBatch(t *testing.T, r *rig) {
	old := r.login(login("old", 1))[0]
	before := r.head()
	nobody := chat.Login{Device: chat.Device{User: "nobody", ID: "x"}, Nonce: 1}
	carols := chat.Login{Device: chat.Device{User: "carol", ID: "new"}, Nonce: 4}
	got := r.login(login("new", 2), nobody, login("old", 3), carols)
	if got[1] != (chat.Cursor{}) {
		t.Errorf("a user who does not exist: %+v", got[1])
	}
	for i, want := range map[int]chat.Cursor{
		0: {Device: chat.Device{User: "bob", ID: "new"}, Session: session(1, 2), Inbox: old.Inbox, Broadcast: old.Broadcast},
		2: {Device: old.Device, Session: session(2, 3), Inbox: old.Inbox, Broadcast: old.Broadcast},
		3: {Device: carols.Device, Session: session(1, 4), Inbox: got[3].Inbox, Broadcast: got[3].Broadcast},
	} {
		if want.Seen = got[i].Seen; got[i] != want {
			t.Errorf("login %d: %+v, want %+v", i, got[i], want)
		}
	}
	if after := r.head(); after.Newest.Counter() != before.Newest.Counter()+1 {
		t.Errorf("the batch took the seqs from %v to %v, want one", before.Newest, after.Newest)
	}
	before = r.head()
	if got := r.login(nobody); got[0] != (chat.Cursor{}) || r.head() != before {
		t.Errorf("a user who does not exist, alone: %+v", got)
	}
	if got := r.login(); len(got) != 0 {
		t.Errorf("nobody at all: %+v", got)
	}
}

func testLoginTwice(t *testing.T, r *rig) {
	r.login(login("old", 1))
	got := r.login(login("old", 2), login("new", 3), login("old", 4), login("new", 5), takeOver("new", 3), takeOver("old", 4))
	for i, want := range []int64{session(2, 2), session(1, 3), session(3, 4), session(2, 5), session(2, 5), session(4, 4)} {
		if got[i].Session != want {
			t.Errorf("login %d has session %d, want %d", i, got[i].Session, want)
		}
	}
	if outdated := r.tryRaise(got[0], got[5], got[1], got[3]); !slices.Equal(outdated, []chat.Device{got[0].Device, got[1].Device}) {
		t.Errorf("outdated: %v; want each device once, for its older login", outdated)
	}
}

func testLargeLogin(t *testing.T, r *rig) {
	var logins []chat.Login
	for u := range 12 {
		user := chat.UserID(fmt.Sprintf("user-%02d", u))
		r.addUser(user)
		for d := range 25 {
			l := chat.Login{Device: chat.Device{User: user, ID: chat.DeviceID(fmt.Sprint(d))}, Nonce: uint32(100*u + d)}
			logins = append(logins, l)
		}
	}
	rand.Shuffle(len(logins), func(i, k int) { logins[i], logins[k] = logins[k], logins[i] })
	r.login(logins[:100]...)
	for i, c := range r.login(logins...) {
		n := int64(1)
		if i < 100 {
			n = 2
		}
		if c.Device != logins[i].Device || c.Session != session(n, logins[i].Nonce) {
			t.Fatalf("login %d, %+v: %+v", i, logins[i], c)
		}
	}
}

func testLoginMaxDevices(t *testing.T, r *rig) {
	var want []chat.DeviceID
	for i := range chat.MaxDevices {
		id := chat.DeviceID(fmt.Sprintf("%02d", i))
		r.login(login(id, 1))
		r.exec("UPDATE `cursor` SET seen_at = ? WHERE device = ?", i+1, []byte(id))
		want = append(want, id)
	}
	r.login(chat.Login{Device: chat.Device{User: "carol", ID: "hers"}})
	r.login(login("00", 2)) // so that 01 is unseen longest
	if got := r.login(login("33rd", 3))[0]; got.Session != session(1, 3) {
		t.Errorf("the 33rd: %+v", got)
	}
	if want = append(slices.Delete(want, 1, 2), "33rd"); !slices.Equal(r.devices("bob"), want) {
		t.Errorf("remembered: %v\nwant: %v", r.devices("bob"), want)
	}
	if len(r.devices("carol")) != 1 {
		t.Error("another user's device was forgotten")
	}
}

func testTakeOver(t *testing.T, r *rig) {
	c := r.login(login("phone", 7))[0]
	c.Inbox = r.send("bob", "1")[0]
	r.raise(c)
	for n := int64(2); n < 5; n++ { // any number of times
		r.forgetSeen()
		got := r.login(takeOver("phone", 7))[0]
		want := c
		want.Session, want.Seen = session(n, 7), got.Seen
		if got != want || time.Since(got.Seen).Abs() > time.Minute {
			t.Errorf("%+v, want %+v, seen now", got, want)
		}
		if outdated := r.tryRaise(c); !slices.Equal(outdated, []chat.Device{c.Device}) {
			t.Errorf("a raise by the server that was left: outdated are %v", outdated)
		}
	}
}

func testReplaced(t *testing.T, r *rig) {
	mine := login("phone", 7)
	r.login(mine)
	other := r.login(login("phone", 8))[0]
	before := r.head()
	again := takeOver("phone", 7)
	got := r.login(again, login("tablet", 7))
	if got[0] != other || again.Has(got[0].Session) {
		t.Errorf("%+v; want the other stream's cursor as it was, %+v", got[0], other)
	}
	if got[1].Session != session(1, 7) {
		t.Errorf("the other of the batch: %+v", got[1])
	}
	if stored := r.openCursor("bob", "phone"); stored != other {
		t.Errorf("stored: %+v, want %+v", stored, other)
	}
	if after := r.head(); after.Newest.Counter() != before.Newest.Counter()+1 {
		t.Errorf("the seqs from %v to %v were taken, want one for the tablet", before.Newest, after.Newest)
	}
	if got := r.login(mine)[0]; got.Session != session(3, 7) {
		t.Errorf("a login anew: %+v", got)
	}
	if got := r.login(takeOver("phone", 8))[0]; got.Session != session(3, 7) {
		t.Errorf("the other takes over: %+v; want it replaced", got)
	}
}

func testTakeOverGone(t *testing.T, r *rig) {
	r.openCursor("carol", "hers")
	c := r.login(login("phone", 7), login("phone", 7))[1]
	r.exec("DELETE FROM `cursor` WHERE device = ?", []byte("phone"))
	if got := r.login(takeOver("phone", 7))[0]; got.Session != session(1, 7) || got.Device != c.Device || got.Inbox != c.Inbox {
		t.Errorf("%+v; want it as at first, in session %d", got, session(1, 7))
	}
}

func testLoginsAtOnce(t *testing.T, r *rig) {
	const each = 50
	stores := []*shardstore.Store{r.Store, r.open()}
	var sessions [4][]int64
	var wg sync.WaitGroup
	for g := range sessions {
		wg.Go(func() {
			l := login("phone", uint32(g/2)) // two have the same
			for range each {
				cursors, err := stores[g%2].LoginDevices(t.Context(), r.shard, []chat.Login{l})
				if err != nil {
					t.Error(err)
					return
				}
				if !l.Has(cursors[0].Session) {
					t.Errorf("session %d is not the login's own", cursors[0].Session)
				}
				sessions[g] = append(sessions[g], cursors[0].Session)
			}
		})
	}
	wg.Wait()
	for g, own := range sessions {
		if !slices.IsSorted(own) {
			t.Errorf("the sessions of %d do not rise: %v", g, own)
		}
	}
	all := slices.Concat(sessions[:]...)
	for i := range all {
		all[i] >>= chat.SessionNonceBits
	}
	slices.Sort(all)
	for i, n := range all {
		if n != int64(i+1) {
			t.Fatalf("the sessions' numbers are %v; want each from 1 to %d once", all, len(all))
		}
	}
	if len(all) != len(sessions)*each {
		t.Errorf("%d sessions, want %d", len(all), len(sessions)*each)
	}
}

// testLoginBesideRaises has a device log in while its older stream acknowledges. What was stored for the older stream is
// where the newer one begins.
func testLoginBesideRaises(t *testing.T, r *rig) {
	other := r.open()
	c := r.login(login("phone", 0))[0]
	for round := uint32(1); round <= 20; round++ {
		older, began, stored := c, make(chan struct{}), chat.Seq(0)
		var wg sync.WaitGroup
		wg.Go(func() {
			begin := sync.OnceFunc(func() { close(began) })
			defer begin()
			for {
				older.Inbox++
				outdated, err := other.RaiseCursors(t.Context(), r.shard, []chat.Cursor{older})
				if err != nil || len(outdated) > 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				stored = older.Inbox
				begin()
			}
		})
		<-began
		c = r.login(login("phone", round))[0]
		wg.Wait()
		// The last raise may have been stored and the device have got its login right after.
		if c.Inbox < stored || c.Inbox > stored+1 {
			t.Fatalf("round %d begins at %v, and %v was stored for the stream before", round, c.Inbox, stored)
		}
		if got := r.openCursor("bob", "phone"); got.Inbox != c.Inbox || got.Session != c.Session {
			t.Fatalf("round %d began as %+v, and is %+v", round, c, got)
		}
	}
}

// testManyLoginsAtOnce has batches in different orders meet in the same rows.
func testManyLoginsAtOnce(t *testing.T, r *rig) {
	const rounds = 10
	var logins []chat.Login
	for i := range 30 {
		logins = append(logins, login(chat.DeviceID(fmt.Sprintf("%02d", i)), uint32(i)))
	}
	cursors := r.login(logins...)
	stores := []*shardstore.Store{r.Store, r.open()}
	var wg sync.WaitGroup
	for g := range 4 {
		ls, cs := slices.Clone(logins), slices.Clone(cursors)
		store := stores[g%2]
		wg.Go(func() {
			for range rounds {
				rand.Shuffle(len(ls), func(i, k int) { ls[i], ls[k] = ls[k], ls[i] })
				rand.Shuffle(len(cs), func(i, k int) { cs[i], cs[k] = cs[k], cs[i] })
				var err error
				if g < 2 {
					_, err = store.LoginDevices(t.Context(), r.shard, ls)
				} else {
					_, err = store.RaiseCursors(t.Context(), r.shard, cs)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, c := range r.login(logins...) {
		if want := session(2*rounds+2, logins[i].Nonce); c.Session != want {
			t.Errorf("session %d, want %d", c.Session, want)
		}
	}
}
