package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"multichat/internal/chat"
	"multichat/shardstore"
)

var messageTests = map[string]func(*testing.T, *rig){
	"every field and byte is kept":                  testEveryByte,
	"seqs ascend within a batch and over batches":   testSeqs,
	"an id sent again is stored once":               testSameID,
	"an id with another text is a conflict":         testConflict,
	"an id twice in a batch is stored once at most": testSameIDInBatch,
	"an id counts per sender and mailbox":           testIDScope,
	"a batch that was stored before writes nothing": testNothingNew,
	"an unknown recipient is refused alone":         testUnknownRecipient,
	"a large batch is stored in order":              testLargeBatch,
}

func testEveryByte(t *testing.T, r *rig) {
	all := make([]byte, chat.MaxText)
	for i := range all {
		all[i] = byte(i%255 + 1)
	}
	sent := time.UnixMilli(1_700_000_000_123)
	batch := []chat.Submission{
		{ID: "max", From: "alice", FromName: "Ålice", To: "bob", Text: all, Sent: sent},
		{ID: "empty", From: "alice", FromName: "Ålice", To: "bob", Text: []byte{}, Sent: sent},
		{ID: "nil", From: "alice", FromName: "Ålice", To: "bob", Sent: sent},
		{ID: "日本", From: "stranger", FromName: " ", To: chat.Everyone, Text: []byte("a'b\"c\\d\r\n:;%"), Sent: sent},
	}
	var want []chat.Message
	for i, s := range r.append(batch...) {
		if s.Err != nil {
			t.Fatal(s.Err)
		}
		m := batch[i]
		want = append(want, chat.Message{
			Seq: s.Seq, ID: m.ID, From: m.From, FromName: m.FromName, To: m.To, Text: m.Text, Sent: m.Sent,
		})
	}
	sameBytes := cmp.Comparer(bytes.Equal)
	if diff := cmp.Diff(want, r.stored(), sameBytes); diff != "" {
		t.Errorf("Bodies (-sent +read):\n%s", diff)
	}
	page, err := r.Page(t.Context(), "bob", 0, r.head().Newest, 10, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:3], page, sameBytes); diff != "" {
		t.Errorf("Page (-sent +read):\n%s", diff)
	}
	for i, s := range r.append(batch...) {
		if !s.Existed || s.Seq != want[i].Seq {
			t.Errorf("sent again: %+v, want the seq %v of before", s, want[i].Seq)
		}
	}
}

func testSeqs(t *testing.T, r *rig) {
	last := r.head().Newest
	for _, seq := range append(r.send("bob", "1", "2", "3"), r.send(chat.Everyone, "4", "5")...) {
		if seq <= last || seq.Shard() != r.shard {
			t.Errorf("seq %v of shard %v after %v", seq, seq.Shard(), last)
		}
		last = seq
	}
	if head := r.head(); head.Newest != last {
		t.Errorf("the head's newest is %v, want %v", head.Newest, last)
	}
}

func testSameID(t *testing.T, r *rig) {
	m := submission("id", "bob", "text")
	first := r.append(m)[0]
	if first.Err != nil || first.Existed {
		t.Fatalf("at first: %+v", first)
	}
	m.FromName, m.Sent = "Alice, renamed", m.Sent.Add(time.Hour)
	want := chat.Stored{Seq: first.Seq, Existed: true}
	if again := r.append(m)[0]; again != want {
		t.Errorf("again: %+v, want %+v", again, want)
	}
	r.Store.Close()
	r.Store = r.open()
	if again := r.append(m)[0]; again != want {
		t.Errorf("after opening the store anew: %+v, want %+v", again, want)
	}
	if n := len(r.stored()); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
}

func testConflict(t *testing.T, r *rig) {
	r.send("bob", "1")
	stored := r.append(
		submission("before", "bob", "before"),
		submission("id of 1", "bob", "another text"),
		submission("after", "bob", "after"),
	)
	if stored[0].Err != nil || stored[2].Err != nil {
		t.Errorf("the others of the batch: %+v", stored)
	}
	wantCode(t, stored[1].Err, chat.CodeConflict)
	if got := texts(r.stored()); got != "1 before after " {
		t.Errorf("stored: %s", got)
	}
}

func testIDScope(t *testing.T, r *rig) {
	toBob := submission("id", "bob", "to bob")
	toCarol := submission("id", "carol", "to carol")
	fromCarol := submission("id", "bob", "from carol")
	fromCarol.From = "carol"
	otherCase := submission("ID", "bob", "another id")
	toAll := submission("id", chat.Everyone, "to all")
	batch := []chat.Submission{toBob, toCarol, fromCarol, otherCase, toAll}
	first := r.append(batch...)
	for i, s := range first {
		if s.Err != nil || s.Existed {
			t.Errorf("submission %d: %+v", i, s)
		}
	}
	for i, m := range batch {
		want := chat.Stored{Seq: first[i].Seq, Existed: true}
		if again := r.append(m)[0]; again != want {
			t.Errorf("submission %d again: %+v, want %+v", i, again, want)
		}
	}
	if n := len(r.stored()); n != len(batch) {
		t.Errorf("%d messages are stored, want %d", n, len(batch))
	}
}

// testSameIDInBatch breaks the contract of Append. That may cost the batch, and never the promise.
func testSameIDInBatch(t *testing.T, r *rig) {
	m, other := submission("id", "bob", "text"), submission("id", "bob", "another text")
	for name, batch := range map[string][]chat.Submission{
		"one text":  {submission("before", "bob", "before"), m, m},
		"two texts": {submission("before", "bob", "before"), m, other},
	} {
		_, err := r.Append(t.Context(), r.shard, batch)
		wantCode(t, err, chat.CodeUnavail)
		if got := texts(r.stored()); got != "" {
			t.Errorf("%s: stored: %s", name, got)
		}
	}
	want := r.append(m)[0]
	want.Existed = true
	got := r.append(m, m, other)
	if got[0] != want || got[1] != want {
		t.Errorf("once it is stored: %+v, want %+v twice", got, want)
	}
	wantCode(t, got[2].Err, chat.CodeConflict)
	if n := len(r.stored()); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
}

func testNothingNew(t *testing.T, r *rig) {
	r.send("bob", "1", "2")
	before := r.head()
	r.append(submission("id of 1", "bob", "1"), submission("id of 2", "bob", "another"), submission("x", "nobody", "x"))
	if after := r.head(); after != before {
		t.Errorf("the head went from %+v to %+v", before, after)
	}
}

func testUnknownRecipient(t *testing.T, r *rig) {
	stored := r.append(
		submission("1", "bob", "1"),
		submission("2", "nobody", "2"),
		submission("3", "BOB", "3"),
		submission("4", chat.Everyone, "4"),
	)
	for _, i := range []int{1, 2} {
		wantCode(t, stored[i].Err, chat.CodeNoUser)
	}
	if stored[0].Err != nil || stored[3].Err != nil || stored[3].Seq <= stored[0].Seq {
		t.Errorf("the others of the batch: %+v", stored)
	}
	if got := texts(r.stored()); got != "1 4 " {
		t.Errorf("stored: %s", got)
	}
	r.addUser("nobody")
	if again := r.append(submission("2", "nobody", "2"))[0]; again.Err != nil || again.Existed {
		t.Errorf("once the user is there: %+v", again)
	}
}

func testLargeBatch(t *testing.T, r *rig) {
	var want []string
	for i := range 600 {
		want = append(want, fmt.Sprint(i))
	}
	r.send("bob", want[:300]...)
	var batch []chat.Submission // with what is stored scattered over it
	for i, text := range want {
		if i >= 300 || i%7 == 0 {
			batch = append(batch, submission("id of "+text, "bob", text))
		}
	}
	for i, s := range r.append(batch...) {
		if s.Err != nil || s.Existed != (i < 43) {
			t.Fatalf("submission %d: %+v", i, s)
		}
	}
	for i, m := range r.stored() {
		if string(m.Text) != want[i] {
			t.Fatalf("message %d is %q", i, m.Text)
		}
	}
}

var faultTests = map[string]func(*testing.T, *rig){
	"a raised epoch stops every write":               testFence,
	"a context that has ended stores nothing":        testCancelled,
	"a counter behind its messages stops the writes": testCounterBehind,
}

func testFence(t *testing.T, r *rig) {
	r.send("bob", "1")
	device := []chat.Device{{User: "bob", ID: "new"}}
	known := r.openCursor("carol", "known").Device
	login := func(l chat.Login) error {
		_, err := r.LoginDevices(t.Context(), r.shard, []chat.Login{l})
		return err
	}
	writes := map[string]func() error{
		"Append": func() error {
			_, err := r.Append(t.Context(), r.shard, []chat.Submission{
				submission("fenced", "bob", "fenced"), submission("fenced too", "bob", "fenced"), submission("and", "carol", "x")})
			return err
		},
		"Append of what is stored": func() error {
			_, err := r.Append(t.Context(), r.shard, []chat.Submission{submission("id of 1", "bob", "1")})
			return err
		},
		"Append to nobody": func() error {
			_, err := r.Append(t.Context(), r.shard, []chat.Submission{submission("x", "nobody", "x")})
			return err
		},
		"OpenCursors":         func() error { _, err := r.OpenCursors(t.Context(), r.shard, device); return err },
		"a first login":       func() error { return login(chat.Login{Device: chat.Device{User: "bob", ID: "first"}}) },
		"a login":             func() error { return login(chat.Login{Device: known}) },
		"a login of a nobody": func() error { return login(chat.Login{Device: chat.Device{User: "nobody", ID: "x"}}) },
		"a login that takes over": func() error {
			return login(chat.Login{Device: known, TakeOver: true, Nonce: 1})
		},
		"AddUser":     func() error { return r.AddUser(t.Context(), chat.User{ID: "dave", Name: "Dave"}) },
		"SetPassword": func() error { return r.SetPassword(t.Context(), "bob", "fenced") },
		"RemoveUser":  func() error { return r.RemoveUser(t.Context(), "bob") },
	}
	for name, write := range writes {
		before := r.head()
		r.exec("UPDATE shard SET map_epoch = map_epoch + 1")
		if err := write(); !errors.Is(err, chat.ErrMoved) {
			t.Errorf("%s: %v, want ErrMoved", name, err)
		}
		after := r.head()
		after.MapEpoch--
		if after != before {
			t.Errorf("%s: the head went from %+v to %+v", name, before, after)
		}
	}
	if c := r.openCursor("carol", "known"); c.Session != 0 {
		t.Errorf("a session was begun: %+v", c)
	}
	for name, write := range writes {
		if err := write(); err != nil {
			t.Errorf("%s, now that the store knows the new map: %v", name, err)
		}
		if name == "RemoveUser" {
			r.addUser("bob")
		}
	}
}

func testCancelled(t *testing.T, r *rig) {
	ctx, cancel := contextEnded(t)
	defer cancel()
	_, err := r.Append(ctx, r.shard, []chat.Submission{submission("1", "bob", "1")})
	wantCode(t, err, chat.CodeUnavail)
	_, err = r.LoginDevices(ctx, r.shard, []chat.Login{{Device: chat.Device{User: "bob", ID: "phone"}}})
	wantCode(t, err, chat.CodeUnavail)
	_, err = r.Page(ctx, "bob", 0, 1<<62, 1, 1)
	wantCode(t, err, chat.CodeUnavail)
	if n := len(r.stored()); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	r.send("bob", "1") // and the shard goes on
}

// testCounterBehind is a backup that was restored in part. Whether a shard answers readers before the lift is its own
// affair; writers it must refuse.
func testCounterBehind(t *testing.T, r *rig) {
	newest := r.send("bob", "1", "2")[1]
	r.exec("UPDATE shard SET counter = counter - 1")
	_, err := r.Append(t.Context(), r.shard, []chat.Submission{submission("id of 3", "bob", "3")})
	wantCode(t, err, chat.CodeUnavail)
	if err := shardstore.Lift(t.Context(), specs(r.db.URL), shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := texts(r.stored()); got != "1 2 " {
		t.Errorf("stored: %s", got)
	}
	if seq := r.send("bob", "3")[0]; seq <= newest+chat.MaxShards<<30 {
		t.Errorf("after a lift above %v the next seq is %v; want one that can never have been given", newest, seq)
	}
}
