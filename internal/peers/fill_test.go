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

// rowsAtOnce is how many rows one statement makes.
const rowsAtOnce = 1000

// addUsers makes the users kind0 to kind(n-1), with one password, one hash of it, and nothing that waits for them. Servers that run
// notice within a second.
func addUsers(t *testing.T, db *sql.DB, kind string, n int) {
	t.Helper()
	hash := []byte(server.HashPassword(chat.NewSecret(password), server.HashParams{MemoryKiB: 64, Passes: 1, Threads: 1}))
	from := head(t, db)
	insert(t, db, "users", "userid, pid, username, password, inbox_from, bcast_from", n, func(i int) []any {
		name := fmt.Append(nil, kind, i)
		return []any{name, onePartition, name, hash, from, from}
	})
	if _, err := db.ExecContext(t.Context(), "UPDATE shard SET user_rev = user_rev + 1"); err != nil {
		t.Fatal(err)
	}
}

// addDevices makes the devices of version 1 clients whose polls these are, as if they had polled just now.
func addDevices(t *testing.T, db *sql.DB, polls []poll) {
	t.Helper()
	from, now := head(t, db), time.Now().UnixMilli()
	insert(t, db, "`cursor`", "userid, device, session, inbox_seq, bcast_seq, seen_at", len(polls), func(i int) []any {
		fields := strings.Split(string(polls[i].datagram), ":") // poll:userid:password:port
		device := fmt.Appendf(nil, "v1 %s %s", polls[i].from, fields[3])
		return []any{[]byte(fields[1]), device, 0, from, from, now}
	})
}

// insert puts n rows into a table.
func insert(t *testing.T, db *sql.DB, table, columns string, n int, row func(i int) []any) {
	t.Helper()
	told := newTeller("rows of " + thousands(int64(n)))
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for first := 0; first < n; first += rowsAtOnce {
		var args []any
		count := min(rowsAtOnce, n-first)
		for i := range count {
			args = append(args, row(first+i)...)
		}
		one := strings.Repeat(",?", len(args)/count)[1:]
		values := strings.Repeat(",("+one+")", count)[1:]
		if _, err := tx.Exec("INSERT INTO "+table+" ("+columns+") VALUES "+values, args...); err != nil {
			t.Fatalf("put %d rows into %s: %v", n, table, err)
		}
		told.tell(first + count)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// addMessages puts n messages into a cluster's shard on MySQL, from and to so many users of a kind. Their ids begin with the time, as
// those of clients do. They do not wait for users who are added later.
func (g *ground) addMessages(t *testing.T, c *cluster, kind string, users, n int) {
	t.Helper()
	conn := g.bulkConn(t, c)
	do := func(text string, args ...any) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), text, args...); err != nil {
			t.Fatalf("put %d messages into the shard: %s: %v", n, text, err)
		}
	}
	const atOnce = 100_000
	const digit = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 " +
		"UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	const numbers = "(SELECT ? + a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS n FROM " +
		digit + " AS a, " + digit + " AS b, " + digit + " AS c, " + digit + " AS d, " + digit + " AS e) AS numbers"
	told := newTeller("messages of " + thousands(int64(n)))
	begin := time.Now().Add(-time.Hour)
	do("ALTER TABLE inbox DROP KEY inbox_id, DROP KEY inbox_mailbox") // to build them at the end takes a tenth of the time
	for first := 0; first < n; first += atOnce {
		count := min(atOnce, n-first)
		do("INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) "+
			"SELECT (counter + 1 + n - ?) * 1024 + number, ?, CONCAT(?, n * 7919 MOD ?), CONCAT(LPAD(HEX(? + n), 16, '0'), '-', n), "+
			"CONCAT(?, n MOD ?), CONCAT(?, n MOD ?), ?, ? FROM shard, "+numbers+" WHERE n < ? ORDER BY n",
			first, onePartition, kind, users, begin.UnixNano(), kind, users, kind, users, begin.UnixMilli(), text, first, first+count)
		do("UPDATE shard SET counter = counter + ?", count)
		told.tell(first + count)
	}
	fmt.Println("  building the indexes")
	do("ALTER TABLE inbox ADD UNIQUE KEY inbox_id (msg_id, from_user, userid), ADD KEY inbox_mailbox (userid, seq)")
}

// bulkConn is a connection to a cluster's database whose changes are not logged for replicas.
func (g *ground) bulkConn(t *testing.T, c *cluster) *sql.Conn {
	t.Helper()
	var database string
	if err := c.db.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	conn, err := g.database.AdminDB(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, text := range []string{"USE `" + database + "`", "SET sql_log_bin = 0"} {
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	return conn
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
