package shardstore_test

import (
	"database/sql"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/shardstore"
)

// phoneLogin is a login of bob's phone.
func phoneLogin(nonce uint32) chat.Login {
	return chat.Login{Device: chat.Device{User: "bob", ID: "phone"}, Nonce: nonce}
}

func logIn(t *testing.T, store *shardstore.Store, nonce uint32) chat.Cursor {
	t.Helper()
	cursors, err := store.LoginDevices(t.Context(), 0, []chat.Login{phoneLogin(nonce)})
	if err != nil {
		t.Error(err)
		return chat.Cursor{}
	}
	return cursors[0]
}

// A login that was committed, and of which nobody was told, costs a session and nothing else.
func TestALoginWhoseAnswerIsLostIsUnavail(t *testing.T) {
	s := newMySQLShard(t, mysqltest.Shared(t))
	first := logIn(t, s.Store, 1)
	relay := mysqltest.NewRelay(t, addrOf(t, s.url))
	store := openURL(t, relay.Through(s.url), shardstore.Options{})
	relay.When("; COMMIT", relay.CutReplies)
	answered := make(chan error, 1)
	go func() {
		_, err := store.LoginDevices(t.Context(), 0, []chat.Login{phoneLogin(2)})
		answered <- err
	}()
	lost := chat.NextSession(first.Session, 2)
	for deadline, stored := time.Now().Add(10*time.Second), int64(0); stored != lost; time.Sleep(time.Millisecond) {
		if err := s.db.QueryRow("SELECT session FROM `cursor`").Scan(&stored); err != nil || time.Now().After(deadline) {
			t.Fatalf("the session is %d, %v; want %d", stored, err, lost)
		}
	}
	relay.Drop()
	refused(t, <-answered, chat.CodeUnavail, "log devices in")
	if c := logIn(t, store, 2); c.Session != chat.NextSession(lost, 2) {
		t.Errorf("the next login: %+v; want the session after %d", c, lost)
	}
}

func TestALoginThatADeadlockEndedIsTriedAgain(t *testing.T) {
	server := mysqltest.Shared(t)
	s := newMySQLShard(t, server)
	first := logIn(t, s.Store, 1)
	tx, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	exec := func(text string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(text, args...); err != nil {
			t.Fatal(err)
		}
	}
	// The transaction holds the device's row, and is heavier than the login, so that it is not the one that a deadlock ends.
	exec("UPDATE `cursor` SET inbox_seq = inbox_seq + 1")
	for i := range 200 {
		exec("INSERT INTO `cursor` (userid, device, session, inbox_seq, bcast_seq, seen_at) VALUES ('alice', ?, 0, 0, 0, 0)", i)
	}
	answered := make(chan chat.Cursor, 1)
	go func() { answered <- logIn(t, s.Store, 2) }()
	awaitLoginLocked(t, server.AdminDB(t))
	exec("UPDATE shard SET user_rev = user_rev + 1") // which the login has locked: error 1213 for the login
	tx.Rollback()
	if c := <-answered; c.Session != chat.NextSession(first.Session, 2) || c.Inbox != first.Inbox {
		t.Errorf("%+v; want the session after %+v", c, first)
	}
}

// awaitLoginLocked returns when a login waits for the lock of a row. The server renews what it tells of transactions only
// when nobody has asked for 100 ms.
func awaitLoginLocked(t *testing.T, admin *sql.DB) {
	t.Helper()
	const text = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%take_over%'"
	for deadline, n := time.Now().Add(10*time.Second), 0; n == 0; time.Sleep(150 * time.Millisecond) {
		if err := admin.QueryRow(text).Scan(&n); err != nil || time.Now().After(deadline) {
			t.Fatalf("no login waits for a lock: %v", err)
		}
	}
}

// After a switchover connections to the old host are left, where the sessions are older. Who has a device is not asked
// there.
func TestAfterASwitchoverTheNewHostSaysWhoIsOutdated(t *testing.T) {
	t.Parallel()
	url, servers := twins(t)
	first, second := servers[0].AdminDB(t), servers[1].AdminDB(t)
	execAll(t, second, "SET GLOBAL read_only = 1")
	initURL(t, url)
	store := openURL(t, url, shardstore.Options{})
	if err := store.AddUser(t.Context(), chat.User{ID: "bob", Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	older := logIn(t, store, 1)
	execAll(t, first, "SET GLOBAL read_only = 1")
	copyDatabase(t, first, second, "twin")
	execAll(t, second, "SET GLOBAL read_only = 0")
	newer := logIn(t, openURL(t, url, shardstore.Options{}), 2)
	for range 10 { // more than there are connections
		for _, tc := range []struct {
			cursor chat.Cursor
			want   []chat.Device
		}{
			{older, []chat.Device{older.Device}},
			{newer, nil},
		} {
			got, err := store.RaiseCursors(t.Context(), 0, []chat.Cursor{tc.cursor})
			if err != nil || !slices.Equal(got, tc.want) {
				t.Fatalf("outdated after a raise of %+v: %v, %v; want %v", tc.cursor, got, err, tc.want)
			}
		}
	}
}
