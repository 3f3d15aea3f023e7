// Package storetest is the suite that every kind of shard passes: what multichat promises about stored messages, users
// and cursors, as tests of a [shardstore.Store] on one shard.
//
// A package that runs it has a TestMain that calls [Main], since the suite starts its test binary again: several
// processes write to one shard, and one of them is killed.
package storetest

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/shardstore"
)

// Database is an empty database, made for one test and removed after it.
type Database struct {
	URL string  // as in shardstore.Spec
	SQL *sql.DB // a plain connection to it, for what an operator does, or whoever moves a partition
}

// Run runs the suite. open makes a database for each test.
func Run(t *testing.T, open func(t *testing.T) Database) {
	t.Run("three processes may initialise it at once", func(t *testing.T) { testInitAtOnce(t, open(t)) })
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, *rig)
	}{
		{"messages", messageTests},
		{"reading", readTests},
		{"users", userTests},
		{"cursors", cursorTests},
		{"logins", loginTests},
		{"retention", retentionTests},
		{"faults", faultTests},
		{"processes", processTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, newRig(t, open(t)))
				})
			}
		})
	}
}

// rig is what a test works on: an initialised shard, number 0, with the users alice, bob and carol, open as a store.
type rig struct {
	t  *testing.T
	db Database
	*shardstore.Store
	shard chat.ShardNumber
}

func newRig(t *testing.T, db Database) *rig {
	t.Helper()
	if err := shardstore.Init(t.Context(), specs(db.URL), shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, db: db}
	r.Store = r.open()
	r.shard = r.Shards()[0]
	for _, id := range []chat.UserID{"alice", "bob", "carol"} {
		r.addUser(id)
	}
	return r
}

func specs(url string) []shardstore.Spec { return []shardstore.Spec{{Name: "a", URL: url}} }

// open opens one more store on the shard.
func (r *rig) open() *shardstore.Store {
	r.t.Helper()
	store, err := shardstore.Open(r.t.Context(), specs(r.db.URL), shardstore.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { store.Close() })
	return store
}

func (r *rig) addUser(id chat.UserID) {
	r.t.Helper()
	u := chat.User{ID: id, Name: "name of " + string(id), Hash: "hash of " + string(id)}
	if err := r.AddUser(r.t.Context(), u); err != nil {
		r.t.Fatal(err)
	}
}

// exec changes the database behind the store's back.
func (r *rig) exec(text string, args ...any) {
	r.t.Helper()
	if _, err := r.db.SQL.ExecContext(r.t.Context(), text, args...); err != nil {
		r.t.Fatal(err)
	}
}

// append stores a batch that must not fail as a whole.
func (r *rig) append(batch ...chat.Submission) []chat.Stored {
	r.t.Helper()
	stored, err := r.Append(r.t.Context(), r.shard, batch)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(stored) != len(batch) {
		r.t.Fatalf("%d answers to %d submissions", len(stored), len(batch))
	}
	return stored
}

// send stores messages to a mailbox, one batch, and returns their seqs.
func (r *rig) send(to chat.Mailbox, texts ...string) []chat.Seq {
	r.t.Helper()
	var batch []chat.Submission
	for _, text := range texts {
		batch = append(batch, submission("id of "+text, to, text))
	}
	var seqs []chat.Seq
	for _, s := range r.append(batch...) {
		if s.Err != nil || s.Existed {
			r.t.Fatalf("not newly stored: %+v", s)
		}
		seqs = append(seqs, s.Seq)
	}
	return seqs
}

// submission is a message from alice.
func submission(id string, to chat.Mailbox, text string) chat.Submission {
	return chat.Submission{
		ID: chat.MessageID(id), From: "alice", FromName: "Alice", To: to, Text: []byte(text),
		Sent: time.Now().Truncate(time.Millisecond),
	}
}

// head reads what the shard's readers watch.
func (r *rig) head() chat.Head {
	r.t.Helper()
	head, _, err := r.Arrivals(r.t.Context(), r.shard, 1<<62, chat.Head{}, 1)
	if err != nil {
		r.t.Fatal(err)
	}
	return head
}

// stored reads every message of the shard, in seq order.
func (r *rig) stored() []chat.Message {
	r.t.Helper()
	_, arrivals, err := r.Arrivals(r.t.Context(), r.shard, 0, chat.Head{}, 1<<30)
	if err != nil {
		r.t.Fatal(err)
	}
	seqs := make([]chat.Seq, len(arrivals))
	for i, a := range arrivals {
		seqs[i] = a.Seq
	}
	messages, err := r.Bodies(r.t.Context(), r.shard, seqs)
	if err != nil {
		r.t.Fatal(err)
	}
	return messages
}

// texts are the texts of messages, for comparing.
func texts(messages []chat.Message) string {
	s := ""
	for _, m := range messages {
		s += fmt.Sprintf("%s ", m.Text)
	}
	return s
}

// wantCode checks that err is a refusal with a code and a sentence.
func wantCode(t *testing.T, err error, code chat.Code) {
	t.Helper()
	if e := chat.AsError(err); e == nil || e.Code != code || e.Reason == "" {
		t.Errorf("the error is %v; want one with code %s", err, code)
	}
}
