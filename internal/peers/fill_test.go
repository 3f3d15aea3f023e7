//go:build linux

package peers

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/server"
)

// What rows need much of is put into a shard's tables directly: through the front door, a million users would take longer than
// all that is measured. The partition of all of it is said to be this one, since none moves here.
const onePartition = 7

// openSQLite opens a file as durably as a shard is.
func openSQLite(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// head is the newest seq that the shard has given.
func head(t *testing.T, db *sql.DB) (seq int64) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT counter * 1024 + number FROM shard").Scan(&seq); err != nil {
		t.Fatal(err)
	}
	return seq
}

// addUsers makes the users kind0 to kind(n-1), with one password, one hash of it, and nothing that waits for them. Servers that run
// notice within a second.
func addUsers(t *testing.T, db *sql.DB, kind string, n int) {
	t.Helper()
	const atOnce = 1000
	hash := []byte(server.HashPassword(chat.NewSecret(password), server.HashParams{MemoryKiB: 64, Passes: 1, Threads: 1}))
	from, told := head(t, db), newTeller("users of "+thousands(int64(n)))
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for first := 0; first < n; first += atOnce {
		var args []any
		for i := first; i < min(first+atOnce, n); i++ {
			name := fmt.Append(nil, kind, i)
			args = append(args, name, onePartition, name, hash, from, from)
		}
		insert := "INSERT INTO users (userid, pid, username, password, inbox_from, bcast_from) VALUES " +
			strings.Repeat(",(?,?,?,?,?,?)", len(args)/6)[1:]
		if _, err := tx.Exec(insert, args...); err != nil {
			t.Fatalf("add users %s%d and so on: %v", kind, first, err)
		}
		told.tell(first + atOnce)
	}
	if _, err := tx.Exec("UPDATE shard SET user_rev = user_rev + 1"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// addMessages puts n messages into a shard on MySQL, from and to so many users of a kind. Their ids begin with the time, as those of
// clients do. They do not wait for users who are added later.
func addMessages(t *testing.T, db *sql.DB, kind string, users, n int) {
	t.Helper()
	const atOnce = 100_000
	const digit = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 " +
		"UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	const numbers = "(SELECT ? + a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS n FROM " +
		digit + " AS a, " + digit + " AS b, " + digit + " AS c, " + digit + " AS d, " + digit + " AS e) AS numbers"
	told := newTeller("messages of " + thousands(int64(n)))
	begin := time.Now().Add(-time.Hour)
	for first := 0; first < n; first += atOnce {
		count := min(atOnce, n-first)
		_, err := db.ExecContext(t.Context(), "INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) "+
			"SELECT (counter + 1 + n - ?) * 1024 + number, ?, CONCAT(?, n * 7919 MOD ?), CONCAT(LPAD(HEX(? + n), 16, '0'), '-', n), "+
			"CONCAT(?, n MOD ?), CONCAT(?, n MOD ?), ?, ? FROM shard, "+numbers+" WHERE n < ?",
			first, onePartition, kind, users, begin.UnixNano(), kind, users, kind, users, begin.UnixMilli(), text, first, first+count)
		if err == nil {
			_, err = db.ExecContext(t.Context(), "UPDATE shard SET counter = counter + ?", count)
		}
		if err != nil {
			t.Fatalf("put messages %d to %d into the shard: %v", first, first+count, err)
		}
		told.tell(first + count)
	}
}

// teller says now and then how far something has come.
type teller struct {
	of    string
	begun time.Time
	last  time.Time
}

func newTeller(of string) *teller { return &teller{of, time.Now(), time.Now()} }

func (t *teller) tell(n int) {
	if time.Since(t.last) > 2*time.Second {
		t.last = time.Now()
		fmt.Printf("  %s %s are there after %v\n", thousands(int64(n)), t.of, time.Since(t.begun).Round(time.Second))
	}
}
