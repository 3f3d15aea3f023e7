package shardstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/shardstore"
)

// What a server needs of a store, restated: the package of the business logic declares it and must not be imported here.
var _ interface {
	Shards() []chat.ShardNumber
	Locate(m chat.Mailbox) chat.ShardNumber
	Append(ctx context.Context, shard chat.ShardNumber, batch []chat.Submission) ([]chat.Stored, error)
	Arrivals(ctx context.Context, shard chat.ShardNumber, after chat.Seq, seen chat.Head, limit int) (chat.Head, []chat.Arrival, error)
	Bodies(ctx context.Context, shard chat.ShardNumber, seqs []chat.Seq) ([]chat.Message, error)
	Page(ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int) ([]chat.Message, error)
	Newest(ctx context.Context, shard chat.ShardNumber, mailboxes []chat.Mailbox) (map[chat.Mailbox]chat.Seq, error)
	Users(ctx context.Context, shard chat.ShardNumber, ids []chat.UserID) ([]chat.User, error)
	OpenCursors(ctx context.Context, shard chat.ShardNumber, devices []chat.Device) ([]chat.Cursor, error)
	LoginDevices(ctx context.Context, shard chat.ShardNumber, logins []chat.Login) ([]chat.Cursor, error)
	RaiseCursors(ctx context.Context, shard chat.ShardNumber, cursors []chat.Cursor) (outdated []chat.Device, err error)
} = (*shardstore.Store)(nil)

// userOn finds a name whose mailbox is on a shard.
func userOn(store *shardstore.Store, shard chat.ShardNumber) chat.UserID {
	for i := 0; ; i++ {
		if id := chat.UserID(fmt.Sprintf("user-%d", i)); store.Locate(id.Mailbox()) == shard {
			return id
		}
	}
}

func send(t *testing.T, store *shardstore.Store, to chat.Mailbox, text string) chat.Seq {
	t.Helper()
	m := chat.Submission{ID: chat.MessageID(text), From: "x", FromName: "X", To: to, Text: []byte(text), Sent: time.Now()}
	stored, err := store.Append(t.Context(), store.Locate(to), []chat.Submission{m})
	if err != nil || stored[0].Err != nil {
		t.Fatal(stored, err)
	}
	return stored[0].Seq
}

func TestMailboxesSpreadOverShards(t *testing.T) {
	f := newFolder(t)
	f.init("a", "b", "c")
	store := f.open("c", "b", "a")
	if got := store.Shards(); !slices.Equal(got, []chat.ShardNumber{0, 1, 2}) {
		t.Fatalf("shards %v", got)
	}
	count := make(map[chat.ShardNumber]int)
	for i := range 3000 {
		count[store.Locate(chat.Mailbox(fmt.Sprintf("user-%d", i)))]++
	}
	for shard, n := range count {
		if n < 500 {
			t.Errorf("shard %d has %d of 3000 mailboxes", shard, n)
		}
	}
}

func TestBroadcastFromIsOfTheBroadcastsOwnShard(t *testing.T) {
	f := newFolder(t)
	f.init("a", "b")
	store := f.open("a", "b")
	broadcasts := store.Locate(chat.Everyone)
	newest := send(t, store, chat.Everyone, "before")
	id := userOn(store, 1-broadcasts)
	if err := store.AddUser(t.Context(), chat.User{ID: id, Name: "X"}); err != nil {
		t.Fatal(err)
	}
	users, err := store.Users(t.Context(), 1-broadcasts, []chat.UserID{id})
	if err != nil || len(users) != 1 || users[0].BroadcastFrom != newest {
		t.Errorf("%+v, %v; want broadcasts from %v", users, err, newest)
	}
	if seq := send(t, store, id.Mailbox(), "text"); seq.Shard() != 1-broadcasts {
		t.Errorf("seq %v is of shard %d", seq, seq.Shard())
	}
}

// moveAll makes shard b serve all that shard a does, as whoever moves partitions would.
func moveAll(t *testing.T, f folder) {
	t.Helper()
	f.exec("a", "UPDATE shard SET map_epoch = map_epoch + 1")
	f.exec("a", "DELETE FROM part")
	f.exec("b", `WITH RECURSIVE p (pid) AS (VALUES (0) UNION ALL SELECT pid + 1 FROM p WHERE pid < 1020)
		INSERT OR IGNORE INTO part (pid, state) SELECT pid, 0 FROM p`)
	f.exec("b", "UPDATE shard SET map_epoch = map_epoch + 1")
}

func TestAFencedWriteLearnsTheNewMap(t *testing.T) {
	f := newFolder(t)
	f.init("a", "b")
	store := f.open("a", "b")
	id := userOn(store, 0)
	moveAll(t, f)
	if err := store.AddUser(t.Context(), chat.User{ID: id, Name: "X"}); !errors.Is(err, chat.ErrMoved) {
		t.Fatalf("%v, want ErrMoved", err)
	}
	if got := store.Locate(id.Mailbox()); got != 1 {
		t.Fatalf("the mailbox is on shard %d, want 1", got)
	}
	if err := store.AddUser(t.Context(), chat.User{ID: id, Name: "X"}); err != nil {
		t.Error(err)
	}
}

func TestAReaderLearnsTheNewMap(t *testing.T) {
	f := newFolder(t)
	f.init("a", "b")
	store := f.open("a", "b")
	id := userOn(store, 0)
	moveAll(t, f)
	if _, _, err := store.Arrivals(t.Context(), 0, 0, chat.Head{}, 1); err != nil {
		t.Fatal(err)
	}
	if got := store.Locate(id.Mailbox()); got != 1 {
		t.Errorf("the mailbox is on shard %d, want 1", got)
	}
}

func TestAMapWithAHoleIsNotTaken(t *testing.T) {
	f := newFolder(t)
	f.init("a")
	store := f.open("a")
	f.exec("a", "DELETE FROM part WHERE pid < 2")
	f.exec("a", "UPDATE shard SET map_epoch = map_epoch + 1")
	err := store.AddUser(t.Context(), chat.User{ID: "bob", Name: "Bob"})
	const reason = "it is not known which shard serves what; nothing was stored, send again later"
	if e := chat.AsError(err); e == nil || e.Code != chat.CodeUnavail || e.Reason != reason {
		t.Errorf("%v, want unavail with %q alone", err, reason)
	} else if !errors.Is(err, shardstore.ErrMap) || !strings.Contains(err.Error(), "2 of 1021 partitions") {
		t.Errorf("%v does not say why, for logs", err)
	}
	if got := store.Locate("bob"); got != 0 {
		t.Errorf("the map that was known is gone: %d", got)
	}
}

// The map may be read again between the choice of a shard and the write to it. The write must not pass under the new
// map's epoch.
func TestAWriteToAShardThatWasLeftIsRefused(t *testing.T) {
	f := newFolder(t)
	f.init("a", "b")
	store := f.open("a", "b")
	id := userOn(store, 0)
	if err := store.AddUser(t.Context(), chat.User{ID: id, Name: "X"}); err != nil {
		t.Fatal(err)
	}
	moveAll(t, f)
	if err := store.ReadMap(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := chat.Submission{ID: "1", From: "x", To: id.Mailbox(), Sent: time.Now()}
	if _, err := store.Append(t.Context(), 0, []chat.Submission{m}); !errors.Is(err, chat.ErrMoved) {
		t.Errorf("Append: %v, want ErrMoved", err)
	}
	d := chat.Device{User: id, ID: "phone"}
	if _, err := store.OpenCursors(t.Context(), 0, []chat.Device{d}); !errors.Is(err, chat.ErrMoved) {
		t.Errorf("OpenCursors: %v, want ErrMoved", err)
	}
	if _, err := store.LoginDevices(t.Context(), 0, []chat.Login{{Device: d}}); !errors.Is(err, chat.ErrMoved) {
		t.Errorf("LoginDevices: %v, want ErrMoved", err)
	}
}
