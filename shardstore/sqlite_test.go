package shardstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/chat"
)

// newSQLite is an initialised shard and a fence for it.
func newSQLite(t *testing.T, opt Options) (*sqliteShard, Fence) {
	t.Helper()
	specs := []Spec{{Name: "a", URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db")}}
	if err := Init(t.Context(), specs, opt); err != nil {
		t.Fatal(err)
	}
	store, err := Open(t.Context(), specs, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store.members[0].shard.(*sqliteShard), store.current.Load().fence(0)
}

// tryBroadcast stores a broadcast.
func tryBroadcast(ctx context.Context, s *sqliteShard, fence Fence, id chat.MessageID, size int) error {
	m := chat.Submission{ID: id, From: "x", To: chat.Everyone, Text: make([]byte, size), Sent: time.Now()}
	_, err := s.Append(ctx, fence, []chat.Submission{m})
	return err
}

// wantError checks that a client is told of shard a what it looks like from outside and nothing else, and a log all.
func wantError(t *testing.T, err error, code chat.Code, seen, logged string) {
	t.Helper()
	reason := "shard a " + seen + "; nothing was stored, send again later"
	if code == chat.CodeUnknown {
		reason = "shard a " + seen + "; it may have been stored, send again with the same id"
	}
	e, ok := errors.AsType[*chat.Error](err)
	if !ok || e.Code != code || e.Reason != reason {
		t.Errorf("the error is %v; want %s with %q alone for clients", err, code, reason)
	}
	if err != nil && !strings.Contains(err.Error(), logged) {
		t.Errorf("the error is %v; want %q in it, for logs", err, logged)
	}
}

// onWriter runs a statement on the connection that the next write will use.
func onWriter(t *testing.T, s *sqliteShard, text string) {
	t.Helper()
	if _, err := s.writer.session.exec(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

func TestAHeldFileIsUnavailAfterPatience(t *testing.T) {
	s, fence := newSQLite(t, Options{Patience: 20 * time.Millisecond})
	holder, err := openSQLite(t.Context(), "holder", s.file, false, Options{Patience: time.Second, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	held, release := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- holder.write(context.Background(), "hold the file", func(*sqliteTx) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	wantError(t, tryBroadcast(t.Context(), s, fence, "1", 1), chat.CodeUnavail, "is busy", "another process holds the file")

	// A context that ends sooner counts, both in the wait for the file and in the wait for one's turn.
	s.writer.patience = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	wantError(t, tryBroadcast(ctx, s, fence, "1", 1), chat.CodeUnavail, "does not answer", "the time for it ran out")
	s.writer.turn <- struct{}{}
	wantError(t, tryBroadcast(ctx, s, fence, "1", 1), chat.CodeUnavail, "does not answer", "the time for it ran out")
	<-s.writer.turn

	// Readers never wait for a writer.
	if _, _, err := s.Arrivals(t.Context(), 0, chat.Head{}, 1); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := tryBroadcast(t.Context(), s, fence, "1", 1); err != nil {
		t.Errorf("once the file is free: %v", err)
	}
}

func TestErrorsBeforeCommitAreUnavail(t *testing.T) {
	for name, c := range map[string]struct{ change, undo, seen, logged string }{
		"disk full":      {"PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "is full", "the disk is full"},
		"read only":      {"PRAGMA query_only = 1", "PRAGMA query_only = 0", "cannot be written", "the file may not be written"},
		"counter behind": {"UPDATE shard SET counter = 0", "UPDATE shard SET counter = 1", "is damaged", "run `multichat shard lift`"},
	} {
		t.Run(name, func(t *testing.T) {
			s, fence := newSQLite(t, Options{})
			if err := tryBroadcast(t.Context(), s, fence, "before", 1); err != nil {
				t.Fatal(err)
			}
			onWriter(t, s, c.change)
			wantError(t, tryBroadcast(t.Context(), s, fence, "1", 60_000), chat.CodeUnavail, c.seen, c.logged)
			if s.writer.session != nil { // else a pragma is gone with its connection
				onWriter(t, s, c.undo)
			}
			if err := tryBroadcast(t.Context(), s, fence, "1", 60_000); err != nil {
				t.Errorf("once the cause is gone: %v", err)
			}
			page, err := s.Page(t.Context(), chat.Everyone, 0, 1<<62, 10, 1<<30)
			if err != nil || len(page) != 2 {
				t.Errorf("%d messages are stored, %v; want 2", len(page), err)
			}
		})
	}
}

// A deferred constraint is the one way to have COMMIT itself refuse.
func TestAnErrorOfCommitIsUnknown(t *testing.T) {
	s, fence := newSQLite(t, Options{})
	if err := tryBroadcast(t.Context(), s, fence, "before", 1); err != nil {
		t.Fatal(err)
	}
	onWriter(t, s, "PRAGMA foreign_keys = 1")
	err := s.write(t.Context(), "break a promise", func(tx *sqliteTx) error {
		for _, text := range []string{
			"CREATE TABLE promise (id INTEGER PRIMARY KEY, kept INTEGER REFERENCES promise (id) DEFERRABLE INITIALLY DEFERRED)",
			"INSERT INTO promise VALUES (1, 2)",
		} {
			if _, err := tx.exec(text); err != nil {
				return err
			}
		}
		return nil
	})
	wantError(t, err, chat.CodeUnknown, "cannot be used", "was to break a promise and may have")
	if err := tryBroadcast(t.Context(), s, fence, "after", 1); err != nil {
		t.Errorf("the next write: %v", err)
	}
}

func TestAContextThatEndsBeforeCommitStoresNothing(t *testing.T) {
	s, _ := newSQLite(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	err := s.write(ctx, "be called off", func(tx *sqliteTx) error {
		_, err := tx.exec("UPDATE shard SET counter = 4711")
		cancel()
		return err
	})
	wantError(t, err, chat.CodeUnavail, "was not waited for", "it was called off")
	if head, err := s.Head(t.Context()); err != nil || head.Newest.Counter() == 4711 {
		t.Errorf("%+v, %v", head, err)
	}
}

func TestAClosedShardAnswersUnavail(t *testing.T) {
	s, fence := newSQLite(t, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, tryBroadcast(t.Context(), s, fence, "1", 1), chat.CodeUnavail, "cannot be used", "closed")
	_, err := s.Head(t.Context())
	wantError(t, err, chat.CodeUnavail, "cannot be used", "closed")
}

func TestADamagedFileIsUnavail(t *testing.T) {
	s, fence := newSQLite(t, Options{})
	var page, pageSize int64
	const where = "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'inbox'"
	if err := s.readers.QueryRow(where).Scan(&page, &pageSize); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // what is in the WAL moves into the file
		t.Fatal(err)
	}
	file, err := os.OpenFile(s.file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(bytes.Repeat([]byte{0xff}, int(pageSize)), (page-1)*pageSize)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	s, err = openSQLite(t.Context(), "a", s.file, false, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, _, err = s.Arrivals(t.Context(), 0, chat.Head{}, 1)
	wantError(t, err, chat.CodeUnavail, "is damaged", "restore it from a backup")
	wantError(t, tryBroadcast(t.Context(), s, fence, "1", 1), chat.CodeUnavail, "is damaged", "restore it from a backup")
}

// What the one who sets up shards reads is the whole sentence, not that for clients.
func TestRegistryTellsItsOperatorWhatToDo(t *testing.T) {
	s, fence := newSQLite(t, Options{})
	if err := tryBroadcast(t.Context(), s, fence, "before", 1); err != nil {
		t.Fatal(err)
	}
	onWriter(t, s, "PRAGMA query_only = 1")
	err := s.Heard(t.Context(), 7)
	if !errors.Is(err, ErrUnreachable) || !strings.HasPrefix(err.Error(), "shard a could not ") ||
		!strings.Contains(err.Error(), "mend its permissions") || strings.Contains(err.Error(), "send again") {
		t.Errorf("the error is %v", err)
	}
}

func TestAConflictSaysToUseANewID(t *testing.T) {
	s, fence := newSQLite(t, Options{})
	if err := tryBroadcast(t.Context(), s, fence, "1", 1); err != nil {
		t.Fatal(err)
	}
	m := chat.Submission{ID: "1", From: "x", To: chat.Everyone, Text: []byte("another text"), Sent: time.Now()}
	stored, err := s.Append(t.Context(), fence, []chat.Submission{m})
	if err != nil {
		t.Fatal(err)
	}
	if e := chat.AsError(stored[0].Err); e == nil || e.Reason != `the id "1" was used for another text; use a new id` {
		t.Errorf("the answer is %v", e)
	}
}

func TestATakenUseridSaysToChooseAnother(t *testing.T) {
	s, fence := newSQLite(t, Options{})
	u := chat.User{ID: "alice", Name: "Alice"}
	if err := s.AddUser(t.Context(), fence, u); err != nil {
		t.Fatal(err)
	}
	err := s.AddUser(t.Context(), fence, u)
	if !errors.Is(err, ErrUserExists) || !strings.Contains(err.Error(), "choose another userid") {
		t.Errorf("the error is %v", err)
	}
}

func TestCloseWaitsForAWriteAndNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newShard := func() *sqliteShard { // whose file is never touched
			var dbs [2]*sql.DB
			for i := range dbs {
				var err error
				if dbs[i], err = sql.Open("sqlite", "file:unused.db?mode=rw"); err != nil {
					t.Fatal(err)
				}
			}
			return &sqliteShard{registry: registry{reads: &reads{answers: answers{name: "a"}}}, readers: dbs[0], writer: newSQLiteWriter(dbs[1], 0)}
		}
		for name, c := range map[string]struct {
			writes, waits time.Duration
			says          string
		}{
			"no write":           {0, 0, ""},
			"a write that ends":  {closeTime / 2, closeTime / 2, ""},
			"a write that hangs": {time.Hour, time.Second, "closing shard a: a write has not ended within 1s; see whether"},
		} {
			s := newShard()
			s.writer.turn <- struct{}{}
			time.AfterFunc(c.writes, func() { <-s.writer.turn })
			began := time.Now()
			err := s.Close()
			if waited := time.Since(began); waited != c.waits {
				t.Errorf("%s: Close took %v, want %v", name, waited, c.waits)
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.HasPrefix(err.Error(), c.says) {
				t.Errorf("%s: Close returned %v, want %q", name, err, c.says)
			}
			time.Sleep(c.writes)
		}
	})
}

func TestSchemaVersionIsTheNewestFile(t *testing.T) {
	files, err := fs.Glob(migrations, "migrations/sqlite/*.sql")
	if err != nil || len(files) != schemaVersion {
		t.Fatalf("%d files, %v; schemaVersion is %d", len(files), err, schemaVersion)
	}
}

func TestSplit(t *testing.T) {
	for n := range 300 {
		sum, last := 0, 1<<30
		for size := range split(n, insertSizes) {
			if size > last {
				t.Fatalf("%d: %d after %d", n, size, last)
			}
			sum, last = sum+size, size
		}
		if sum != n {
			t.Fatalf("%d became %d", n, sum)
		}
	}
}

// Where mailboxes belong is for good: other values here mean that stored mail is not found any more.
func TestPartitionsAreForGood(t *testing.T) {
	layout := newLayout("", 0x1234_5678_9abc_def0)
	for mailbox, want := range map[chat.Mailbox]int{"alice": 844, "bob": 907, "%": 608, "Ålice": 904} {
		if got := layout.Partition(mailbox); got != want {
			t.Errorf("%s is in partition %d, want %d", mailbox, got, want)
		}
	}
	if layout.Partitions != 1021 || layout.Hash != "xxhash64" {
		t.Errorf("a new cluster is made with %+v", layout)
	}
}
