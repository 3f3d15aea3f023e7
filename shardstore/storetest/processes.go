package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/shardstore"
)

var processTests = map[string]func(*testing.T, *rig){
	"64 writers in four processes lose nothing, and seqs come in commit order":  testManyWriters,
	"one id 64 times at once is stored once":                                    testSameIDAtOnce,
	"one id with two texts at once is stored once, and the other is a conflict": testTwoTextsAtOnce,
	"what a killed process reported is there, and others go on":                 testKilledWriter,
	"what a killed process stored existed when the next sends it again":         testSentAgainAfterKill,
}

// follower reads arrivals as a server does: above the highest seq that it has read, for ever.
type follower struct {
	position chat.Seq
	seen     chat.Head
	seqs     []chat.Seq
}

// step reads once. Whatever it reads that is not above its position would be a message that servers skip.
func (f *follower) step(ctx context.Context, store *shardstore.Store, shard chat.ShardNumber) error {
	head, arrivals, err := store.Arrivals(ctx, shard, f.position, f.seen, 50)
	if err != nil {
		return err
	}
	for _, a := range arrivals {
		if a.Seq <= f.position {
			return fmt.Errorf("seq %v arrived when %v was read already", a.Seq, f.position)
		}
		f.position = a.Seq
		f.seqs = append(f.seqs, a.Seq)
	}
	if f.seen = head; len(arrivals) == 50 {
		f.seen = chat.Head{} // there may be more under this head
	}
	return nil
}

func testManyWriters(t *testing.T, r *rig) {
	const processes, writers, each = 4, 16, 6
	var children []*Child
	for p := range processes {
		children = append(children, Start(t, Task{URL: r.db.URL, Writers: writers, Each: each, Prefix: fmt.Sprint("p", p)}))
	}
	acks := make([][]ack, processes)
	var wg sync.WaitGroup
	for p, c := range children {
		c.Begin()
		wg.Go(func() { acks[p] = c.finish() })
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var f follower
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true // and read once more
		case <-tick.C:
		}
		for before := -1; before < len(f.seqs); {
			before = len(f.seqs)
			if err := f.step(t.Context(), r.Store, r.shard); err != nil {
				t.Error(err)
				<-done
				return
			}
		}
	}
	reported := slices.Concat(acks...)
	if len(reported) != processes*writers*each {
		t.Errorf("%d messages reported as stored, want %d", len(reported), processes*writers*each)
	}
	checkAcks(t, r, reported)
	var all []chat.Seq
	for _, m := range r.stored() {
		all = append(all, m.Seq)
	}
	if !slices.Equal(all, f.seqs) {
		t.Errorf("following the arrivals gave %d messages, and %d are stored: some came below the reader's position",
			len(f.seqs), len(all))
	}
}

// checkAcks checks that every reported message is stored at its seq, and no seq was given twice.
func checkAcks(t *testing.T, r *rig, acks []ack) {
	t.Helper()
	stored := make(map[chat.Seq]chat.MessageID)
	for _, m := range r.stored() {
		stored[m.Seq] = m.ID
		if string(m.Text) != "text of "+string(m.ID) {
			t.Errorf("the text of %s is %q", m.ID, m.Text)
		}
	}
	given := make(map[chat.Seq]bool)
	for _, a := range acks {
		if stored[a.Seq] != a.ID {
			t.Errorf("%s was reported as stored at %v; there is %q", a.ID, a.Seq, stored[a.Seq])
		}
		if given[a.Seq] {
			t.Errorf("seq %v was given twice", a.Seq)
		}
		given[a.Seq] = true
	}
}

func testSameIDAtOnce(t *testing.T, r *rig) {
	var children []*Child
	for range 4 {
		children = append(children, Start(t, Task{URL: r.db.URL, Writers: 16, Each: 1, Prefix: "same", SameID: true}))
	}
	for _, c := range children {
		c.Begin()
	}
	seqs := make(map[chat.Seq]bool)
	answers, fresh := 0, 0
	for _, c := range children {
		for _, a := range c.finish() {
			answers++
			if seqs[a.Seq] = true; !a.Existed {
				fresh++
			}
		}
	}
	if n := len(r.stored()); n != 1 || answers != 64 || fresh != 1 || len(seqs) != 1 {
		t.Errorf("%d stored; %d answers, %d of them fresh, with %d seqs; want 1, 64, 1, 1", n, answers, fresh, len(seqs))
	}
}

func testKilledWriter(t *testing.T, r *rig) {
	victim := Start(t, Task{URL: r.db.URL, Writers: 4, Prefix: "victim"})
	other := Start(t, Task{URL: r.db.URL, Writers: 4, Each: 20, Prefix: "other"})
	victim.Begin()
	other.Begin()
	var acks []ack
	for len(acks) < 40 {
		a, ok := victim.next()
		if !ok {
			t.Fatalf("the victim ended by itself: %s", victim.err.String())
		}
		acks = append(acks, a)
	}
	if err := victim.Process().Kill(); err != nil {
		t.Fatal(err)
	}
	acks = append(acks, victim.finish()...)
	others := other.finish()
	if len(others) != 80 {
		t.Errorf("the other process stored %d messages, want 80", len(others))
	}
	acks = append(acks, others...)
	checkAcks(t, r, acks)
	r.send("bob", "and this process goes on, too")
}

// testSentAgainAfterKill has a process send what one before it sent, and perhaps was not told of.
func testSentAgainAfterKill(t *testing.T, r *rig) {
	const writers, each = 4, 40
	victim := Start(t, Task{URL: r.db.URL, Writers: writers, Each: each, Prefix: "again"})
	victim.Begin()
	known := make(map[chat.MessageID]chat.Seq)
	for len(known) < writers*each/4 {
		a, ok := victim.next()
		if !ok {
			t.Fatalf("the victim ended by itself: %s", victim.err.String())
		}
		known[a.ID] = a.Seq
	}
	if err := victim.Process().Kill(); err != nil {
		t.Fatal(err)
	}
	for _, a := range victim.finish() {
		known[a.ID] = a.Seq
	}
	next := Start(t, Task{URL: r.db.URL, Writers: writers, Each: each, Prefix: "again"})
	next.Begin()
	acks := next.finish()
	for _, a := range acks {
		if seq, ok := known[a.ID]; ok && (!a.Existed || a.Seq != seq) {
			t.Errorf("%s was stored at %v; sent again: %+v", a.ID, seq, a)
		}
	}
	if n := len(r.stored()); n != writers*each || len(acks) != n {
		t.Errorf("%d are stored and %d acknowledged, want %d", n, len(acks), writers*each)
	}
	checkAcks(t, r, acks)
}

// testTwoTextsAtOnce has two stores send one id, each with a text of its own.
func testTwoTextsAtOnce(t *testing.T, r *rig) {
	const rounds = 20
	stores := []*shardstore.Store{r.Store, r.open()}
	for round := range rounds {
		answers := make([]chat.Stored, len(stores))
		var wg sync.WaitGroup
		for i, store := range stores {
			m := submission(fmt.Sprint("id ", round), "bob", fmt.Sprint("text of ", i))
			wg.Go(func() {
				stored, err := store.Append(t.Context(), r.shard, []chat.Submission{m})
				if err != nil {
					t.Error(err)
					return
				}
				answers[i] = stored[0]
			})
		}
		wg.Wait()
		first := slices.IndexFunc(answers, func(s chat.Stored) bool { return s.Err == nil })
		if first < 0 || answers[first].Existed {
			t.Fatalf("round %d: %+v; want one to be stored", round, answers)
		}
		wantCode(t, answers[1-first].Err, chat.CodeConflict)
		got, err := r.Bodies(t.Context(), r.shard, []chat.Seq{answers[first].Seq})
		if want := fmt.Sprint("text of ", first); err != nil || len(got) != 1 || string(got[0].Text) != want {
			t.Errorf("round %d: %v, %v; want %q", round, got, err, want)
		}
	}
	if n := len(r.stored()); n != rounds {
		t.Errorf("%d messages are stored, want %d", n, rounds)
	}
}

// testInitAtOnce has three processes initialise one database that is empty.
func testInitAtOnce(t *testing.T, db Database) {
	var children []*Child
	for range 3 {
		children = append(children, Start(t, Task{URL: db.URL, Init: true}))
	}
	for _, c := range children {
		c.Begin()
	}
	for _, c := range children {
		c.finish()
	}
	store, err := shardstore.Open(t.Context(), specs(db.URL), shardstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if got := store.Shards(); !slices.Equal(got, []chat.ShardNumber{0}) {
		t.Errorf("shards %v, want number 0 alone", got)
	}
}
