package shardstore_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/shardstore"
	"multichat/shardstore/storetest"
)

// holdUp is what others may be held up for by a writer that is stopped or cut off: the server's patience with it, and then
// some.
const holdUp = 3 * time.Second

// The worst moment to lose a connection: the message is stored, and nobody has been told.
func TestAConnectionCutBetweenCommitAndAnswerStoresOnce(t *testing.T) {
	s := newMySQLShard(t, mysqltest.Shared(t))
	relay := mysqltest.NewRelay(t, addrOf(t, s.url))
	store := openURL(t, relay.Through(s.url), shardstore.Options{})
	relay.When("; COMMIT", relay.CutReplies)
	answered := make(chan error, 1)
	go func() {
		_, err := try(t, store, toBob("once"))
		answered <- err
	}()
	for deadline := time.Now().Add(holdUp); s.inbox()["once"] == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the message was not stored")
		}
	}
	relay.Drop()
	refused(t, <-answered, chat.CodeUnknown, "does not answer")
	again, _ := insist(t, store, toBob("once"))
	if n := s.inbox()["once"]; n != 1 || !again.Existed {
		t.Errorf("stored %d times; the answer to the retry is %+v, want that it existed", n, again)
	}
}

func addrOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// A server whose process is killed takes what it has not committed with it, and nothing else.
func TestMySQLKilledUnder64WritersLosesNothing(t *testing.T) {
	t.Parallel()
	const writers, stores, before, after = 64, 3, 10, 10
	server := mysqltest.Start(t)
	s := newMySQLShard(t, server)
	opened := make([]*shardstore.Store, stores)
	for i := range opened {
		opened[i] = openURL(t, s.url, shardstore.Options{})
	}
	var acked [writers][]chat.Stored
	var reached, done sync.WaitGroup
	var longest atomic.Int64
	restarted := make(chan struct{})
	reached.Add(writers)
	for w := range writers {
		done.Go(func() {
			for n, more := 0, -1; more != 0; n++ {
				stored, took := insist(t, opened[w%stores], toBob(fmt.Sprintf("%d-%d", w, n)))
				acked[w] = append(acked[w], stored)
				if n+1 == before {
					reached.Done()
				}
				for old := longest.Load(); int64(took) > old && !longest.CompareAndSwap(old, int64(took)); old = longest.Load() {
				}
				select {
				case <-restarted:
					if more < 0 {
						more = after
					}
					more--
				default:
				}
			}
		})
	}
	reached.Wait()
	killed := time.Now()
	server.Kill(t)
	server.Restart(t)
	down := time.Since(killed)
	close(restarted)
	done.Wait()
	t.Logf("the server was away for %v; the longest that a writer waited was %v", down, time.Duration(longest.Load()))
	ids := s.inbox()
	total := 0
	for w := range writers {
		for n, stored := range acked[w] {
			total++
			id := chat.MessageID(fmt.Sprintf("%d-%d", w, n))
			if got, err := s.Bodies(t.Context(), 0, []chat.Seq{stored.Seq}); err != nil || len(got) != 1 || got[0].ID != id || ids[id] != 1 {
				t.Fatalf("%s was acknowledged at %v: %d there, %d times in all, %v", id, stored.Seq, len(got), ids[id], err)
			}
		}
	}
	if total != len(ids) {
		t.Errorf("%d messages were acknowledged and %d are stored", total, len(ids))
	}
}

func TestAWriterStoppedInTheMiddleOfAFailedWriteHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	s := newMySQLShard(t, mysqltest.Shared(t))
	insist(t, s.Store, toBob("text of same")) // by another id, which is no matter
	m := toBob("text of same")
	m.ID = "same"
	insist(t, s.Store, m)
	relay := mysqltest.NewRelay(t, addrOf(t, s.url))
	child := storetest.Start(t, storetest.Task{URL: relay.Through(s.url), Writers: 1, Each: 1, Prefix: "same", SameID: true})
	stopped := make(chan struct{})
	// The id is there already: error 1062, and the row of the sequencer stays locked until the ROLLBACK, which the process
	// has just sent when it stops, and which does not arrive.
	relay.When("ROLLBACK", func() {
		child.Process().Signal(syscall.SIGSTOP)
		relay.CutAfter(0)
		close(stopped)
	})
	child.Begin()
	<-stopped
	if _, took := insist(t, s.Store, toBob("other")); took > holdUp {
		t.Errorf("another writer waited for %v", took)
	} else {
		t.Logf("another writer waited for %v", took)
	}
}

func TestAPacketCutInHalfHoldsNobodyUp(t *testing.T) {
	s := newMySQLShard(t, mysqltest.Shared(t))
	relay := mysqltest.NewRelay(t, addrOf(t, s.url))
	store := openURL(t, relay.Through(s.url), shardstore.Options{})
	halved := make(chan struct{})
	relay.When("INSERT INTO inbox", func() {
		relay.CutAfter(20_000)
		close(halved)
	})
	answered := make(chan error, 1)
	go func() {
		_, err := try(t, store, toBob(strings.Repeat("half", 15_000)))
		answered <- err
	}()
	<-halved
	if _, took := insist(t, s.Store, toBob("other")); took > holdUp {
		t.Errorf("another writer waited for %v", took)
	}
	relay.Drop()
	refused(t, <-answered, chat.CodeUnknown, "")
	insist(t, store, toBob(strings.Repeat("half", 15_000)))
	if n := len(s.inbox()); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
}

func TestALockedSequencerIsUnavail(t *testing.T) {
	t.Parallel()
	s := newMySQLShard(t, mysqltest.Shared(t))
	tx, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("SELECT * FROM shard FOR UPDATE"); err != nil { // error 1205 for whoever waits
		t.Fatal(err)
	}
	_, err = try(t, s.Store, toBob("1"))
	refused(t, err, chat.CodeUnavail, "another transaction holds its rows")
	tx.Rollback()
	if stored, _ := insist(t, s.Store, toBob("1")); stored.Existed {
		t.Error("what was refused had been stored")
	}
}

func TestADeadlockIsTriedAgain(t *testing.T) {
	s := newMySQLShard(t, mysqltest.Shared(t))
	tx, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	exec := func(text string) {
		t.Helper()
		if _, err := tx.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	// The transaction holds the id that the message is going to have, and is heavier than it, so that it is not the one
	// that a deadlock ends.
	const columns = "INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) "
	exec(columns + "VALUES (1, 1, 'bob', 'id', 'alice', 'alice', 0, 'other')")
	for i := range 200 {
		exec(fmt.Sprintf(columns+"VALUES (%d, 1, 'bob', 'weight %d', 'alice', 'alice', 0, '')", 2+i, i))
	}
	waiting := make(chan struct{})
	relay := mysqltest.NewRelay(t, addrOf(t, s.url))
	relay.When("; COMMIT", func() { close(waiting) })
	store := openURL(t, relay.Through(s.url), shardstore.Options{})
	answered := make(chan error, 1)
	go func() {
		_, err := try(t, store, toBob("id"))
		answered <- err
	}()
	<-waiting
	awaitLockWait(t, s.db)
	exec("UPDATE shard SET user_rev = user_rev + 1") // which the writer has locked: error 1213 for the writer
	tx.Rollback()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if n := len(s.inbox()); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
}

// awaitLockWait returns when a statement of the account waits for the lock of a row.
func awaitLockWait(t *testing.T, db *sql.DB) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		var n int
		err := db.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%INSERT INTO inbox%' " +
			"AND info NOT LIKE '%processlist%' AND state LIKE '%pdate%'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for a lock")
		}
	}
}

func TestAServerThatBecomesReadOnlyIsUnavailUntilItIsNot(t *testing.T) {
	t.Parallel()
	server := mysqltest.Start(t)
	s := newMySQLShard(t, server)
	insist(t, s.Store, toBob("before"))
	execAll(t, server.AdminDB(t), "SET GLOBAL read_only = 1") // error 1290
	_, err := try(t, s.Store, toBob("meanwhile"))
	refused(t, err, chat.CodeUnavail, "it is read-only")
	_, err = try(t, s.Store, toBob("meanwhile")) // on a new connection
	refused(t, err, chat.CodeUnavail, "it is read-only")
	execAll(t, server.AdminDB(t), "SET GLOBAL read_only = 0")
	insist(t, s.Store, toBob("after"))
	if ids := s.inbox(); len(ids) != 2 {
		t.Errorf("stored: %v; want before and after", ids)
	}
}

func TestAPasswordCanBeChangedAtRuntime(t *testing.T) {
	t.Parallel()
	server := mysqltest.Start(t)
	s := newMySQLShard(t, server)
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	admin := server.AdminDB(t)
	execAll(t, admin, fmt.Sprintf("ALTER USER '%s'@'%%' IDENTIFIED BY 'changed'", u.User.Username()))
	endSessions(t, admin, u.User.Username())
	_, err = try(t, s.Store, toBob("1"))
	refused(t, err, chat.CodeUnavail, "the account or its password is refused")
	if strings.Contains(err.Error(), "changed") {
		t.Errorf("the error tells a password: %v", err)
	}
	if err := os.WriteFile(u.Query().Get("password-file"), []byte("changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	insist(t, s.Store, toBob("1"))
}

// endSessions has the server hang up on an account, and returns when it has.
func endSessions(t *testing.T, admin *sql.DB, user string) {
	t.Helper()
	for {
		rows, err := admin.Query("SELECT id FROM information_schema.processlist WHERE user = ?", user)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int
		for rows.Next() {
			var id int
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		rows.Close()
		if len(ids) == 0 {
			return
		}
		for _, id := range ids {
			admin.Exec(fmt.Sprint("KILL ", id)) // it may be gone already
		}
	}
}

// A server whose disk is full may wait for room for a minute, and holds the sequencer's row meanwhile.
func TestAFullDiskIsNoFalsePromise(t *testing.T) {
	t.Parallel()
	dir := mysqltest.Folder(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=400m"); err != nil {
		sentence := fmt.Sprintf("the small file system that this test fills cannot be mounted, which takes root: %v", err)
		if os.Getenv("MULTICHAT_REQUIRE_MYSQL") == "1" {
			t.Fatal(sentence)
		}
		t.Skip(sentence)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	server := mysqltest.StartIn(t, dir)
	s := newMySQLShard(t, server)
	insist(t, s.Store, toBob("before"))
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	acked := map[chat.MessageID]bool{"before": true}
	for n := 0; ; n++ {
		m := toBob(fmt.Sprintf("%d%s", n, strings.Repeat("x", chat.DefaultMaxText)))
		if _, err := try(t, s.Store, m); err != nil {
			if code := chat.AsError(err).Code; code != chat.CodeUnavail && code != chat.CodeUnknown {
				t.Errorf("on a full disk: %v", err)
			}
			t.Logf("after %d messages: %v", n, err)
			break
		}
		acked[m.ID] = true
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	_, took := insist(t, s.Store, toBob("after"))
	t.Logf("with room again, a message was stored after %v", took)
	acked["after"] = true
	ids := s.inbox()
	for id := range acked {
		if ids[id] != 1 {
			t.Errorf("%.20s was acknowledged, and is stored %d times", id, ids[id])
		}
	}
}

// fill writes a file until there is no room.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}
