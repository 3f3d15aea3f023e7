//go:build linux

package peers

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"multichat/shardstore"
)

// table is a shard's table of messages, with its indexes, in a database of its own.
type table struct {
	db  *sql.DB
	seq atomic.Int64
}

// rowsPerInsert is how many rows a shard's batch has at most.
const rowsPerInsert = 256

// newTable makes a shard of a database and takes its table. At most so many connections write to it.
func newTable(t *testing.T, url string, db *sql.DB, connections int) *table {
	t.Helper()
	if err := shardstore.Init(t.Context(), []shardstore.Spec{{Name: "a", URL: url}}, shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return &table{db: db}
}

func (g *ground) mysqlTable(t *testing.T, connections int) *table {
	t.Helper()
	url, db := g.mysqlServer(t).Database(t)
	return newTable(t, url, db, connections)
}

func sqliteTable(t *testing.T) *table {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shard.db")
	return newTable(t, "sqlite:"+file, openSQLite(t, file), 1)
}

// inserts has writers insert for a turn, so many rows by a statement, which is a transaction each. Its CPU seconds are those of
// this process, which does what a server does, and of the database.
func (x *table) inserts(t *testing.T, writers, rows int, database ...int) func(*testing.T, time.Duration) map[string]float64 {
	t.Helper()
	insert, err := x.db.Prepare("INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) VALUES " +
		strings.Repeat(",(?,?,?,?,?,?,?,?)", rows)[1:])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { insert.Close() })
	return func(t *testing.T, d time.Duration) map[string]float64 {
		cpu := cpuSeconds(t, database...) + ownSeconds(t)
		begin := time.Now()
		var stored atomic.Int64
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for time.Since(begin) < d {
					if _, err := insert.Exec(x.values(rows)...); err != nil {
						t.Errorf("insert %d rows: %v", rows, err)
						return
					}
					stored.Add(int64(rows))
				}
			})
		}
		group.Wait()
		took := time.Since(begin)
		cpu = cpuSeconds(t, database...) + ownSeconds(t) - cpu
		n := float64(stored.Load())
		return map[string]float64{"messages": n, "messages/s": n / took.Seconds(), "CPU µs/message": 1e6 * cpu / n}
	}
}

// values are those of the next rows: the same as of the messages that the senders send.
func (x *table) values(rows int) []any {
	now := time.Now()
	args := make([]any, 0, 8*rows)
	for range rows {
		seq := x.seq.Add(1)
		args = append(args, seq, 7, fmt.Appendf(nil, "box%d", seq%boxes), fmt.Appendf(nil, "%016x-%d", now.UnixNano(), seq),
			fmt.Appendf(nil, "send%d", seq%senders), fmt.Appendf(nil, "send%d", seq%senders), now.UnixMilli(), []byte(text))
	}
	return args
}

func ownSeconds(t *testing.T) float64 {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
