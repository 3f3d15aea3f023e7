//go:build linux

package peers

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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
	const atOnce, writers = 100_000, 2
	do(t, g.bulkConn(t, c), "ALTER TABLE inbox DROP KEY inbox_id, DROP KEY inbox_mailbox") // to build them at the end takes less
	first, told := head(t, c.db), newTeller("messages of "+thousands(int64(n)))
	begin := time.Now().Add(-time.Hour)
	var next, there atomic.Int64
	var group sync.WaitGroup
	for range writers {
		conn := g.bulkConn(t, c)
		group.Go(func() {
			for from := next.Add(atOnce) - atOnce; from < int64(n) && !t.Failed(); from = next.Add(atOnce) - atOnce {
				to := min(from+atOnce, int64(n))
				do(t, conn, "INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) "+
					"SELECT ? + (n + 1) * 1024, ?, CONCAT(?, n * 7919 MOD ?), CONCAT(LPAD(HEX(? + n), 16, '0'), '-', n), "+
					"CONCAT(?, n MOD ?), CONCAT(?, n MOD ?), ?, ? FROM "+numbers+" WHERE n < ?",
					first, onePartition, kind, users, begin.UnixNano(), kind, users, kind, users, begin.UnixMilli(), text, from, to)
				told.tell(int(there.Add(to - from)))
			}
		})
	}
	group.Wait()
	conn := g.bulkConn(t, c)
	do(t, conn, "UPDATE shard SET counter = counter + ?", n)
	fmt.Println("  building the indexes")
	do(t, conn, "ALTER TABLE inbox ADD UNIQUE KEY inbox_id (msg_id, from_user, userid)")
	do(t, conn, "ALTER TABLE inbox ADD KEY inbox_mailbox (userid, seq)")
}

// numbers is a table of the 100 000 numbers n that begin with its parameter.
const (
	digit = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 " +
		"UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	numbers = "(SELECT ? + a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS n FROM " +
		digit + " AS a, " + digit + " AS b, " + digit + " AS c, " + digit + " AS d, " + digit + " AS e) AS numbers"
)

func do(t *testing.T, conn *sql.Conn, text string, args ...any) {
	t.Helper()
	if _, err := conn.ExecContext(t.Context(), text, args...); err != nil {
		t.Errorf("%s: %v", text, err)
	}
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
	do(t, conn, "USE `"+database+"`")
	do(t, conn, "SET sql_log_bin = 0")
	return conn
}

// teller says now and then how far something has come.
type teller struct {
	of    string
	begun time.Time

	mu   sync.Mutex
	last time.Time
}

func newTeller(of string) *teller { return &teller{of: of, begun: time.Now(), last: time.Now()} }

func (t *teller) tell(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.last) > 2*time.Second {
		t.last = time.Now()
		fmt.Printf("  %s %s are there after %v\n", thousands(int64(n)), t.of, time.Since(t.begun).Round(time.Second))
	}
}
