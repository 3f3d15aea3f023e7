package shardstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/shardstore"
)

var benchRows = []int{1, 64, 256}

// benchShards are the kinds of shards that benchmarks compare: each an empty database.
var benchShards = []struct {
	kind string
	open func(b *testing.B) (url string, db *sql.DB)
}{
	{"sqlite", func(b *testing.B) (string, *sql.DB) {
		file := filepath.Join(b.TempDir(), "a.db")
		db, err := sql.Open("sqlite", file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return "sqlite:" + file, db
	}},
	{"mysql", func(b *testing.B) (string, *sql.DB) { return mysqltest.Shared(b).Database(b) }},
}

// BenchmarkAppend is the write path of a shard: order, fence, ids and recipients looked up. One operation is a row. For
// each number of rows in a batch, BareInsert beside it is the limit: the same rows into the same table with the same
// indexes by multi-row INSERTs, with nothing looked up and no sequencer.
func BenchmarkAppend(b *testing.B) {
	for _, shard := range benchShards {
		for _, rows := range benchRows {
			for _, writers := range []int{1, 3} {
				b.Run(fmt.Sprintf("%s/rows=%d/writers=%d", shard.kind, rows, writers), func(b *testing.B) {
					url, _ := shard.open(b)
					benchAppend(b, url, rows, writers)
				})
			}
			b.Run(fmt.Sprintf("%s/rows=%d/BareInsert", shard.kind, rows), func(b *testing.B) {
				url, db := shard.open(b)
				benchBareInsert(b, url, db, rows)
			})
		}
	}
}

func benchAppend(b *testing.B, url string, rows, writers int) {
	specs := urlSpecs(url)
	if err := shardstore.Init(b.Context(), specs, shardstore.Options{}); err != nil {
		b.Fatal(err)
	}
	stores := make([]*shardstore.Store, writers)
	for i := range stores {
		store, err := shardstore.Open(b.Context(), specs, shardstore.Options{Patience: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		stores[i] = store
	}
	if err := stores[0].AddUser(b.Context(), chat.User{ID: "bob", Name: "Bob"}); err != nil {
		b.Fatal(err)
	}
	benchWriters(b, rows, writers, func(w int, batch []chat.Submission) error {
		_, err := stores[w].Append(b.Context(), 0, batch)
		return err
	})
}

func benchBareInsert(b *testing.B, url string, db *sql.DB, rows int) {
	if err := shardstore.Init(b.Context(), urlSpecs(url), shardstore.Options{}); err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	text := "INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) VALUES " +
		strings.Repeat(",(?,?,?,?,?,?,?,?)", rows)[1:]
	insert, err := db.Prepare(text)
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	seq := 0
	benchWriters(b, rows, 1, func(_ int, batch []chat.Submission) error {
		args := make([]any, 0, 8*len(batch))
		for _, m := range batch {
			seq++
			args = append(args, seq, 7, []byte(m.To), []byte(m.ID), []byte(m.From), []byte(m.FromName), m.Sent.UnixMilli(), m.Text)
		}
		_, err := insert.Exec(args...)
		return err
	})
}

// benchWriters has writers write b.N rows between them, in batches, and reports rows a second.
func benchWriters(b *testing.B, rows, writers int, write func(w int, batch []chat.Submission) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	text := []byte(strings.Repeat("x", 100))
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			batch := make([]chat.Submission, rows)
			for n := 0; left.Add(-int64(rows)) > -int64(rows); n++ {
				for i := range batch {
					batch[i] = chat.Submission{
						ID:   chat.MessageID(fmt.Sprintf("%016x-%d-%06d", time.Now().UnixNano(), w, i)),
						From: "alice", FromName: "Alice", To: "bob", Text: text, Sent: time.Now(),
					}
				}
				if err := write(w, batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
