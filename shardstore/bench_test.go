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
	"multichat/shardstore"
)

var benchRows = []int{1, 64, 256}

// BenchmarkAppend is the write path of a shard: order, fence, ids and recipients looked up. One operation is a row.
func BenchmarkAppend(b *testing.B) {
	for _, rows := range benchRows {
		for _, writers := range []int{1, 3} {
			b.Run(fmt.Sprintf("rows=%d/writers=%d", rows, writers), func(b *testing.B) { benchAppend(b, rows, writers) })
		}
	}
}

func benchAppend(b *testing.B, rows, writers int) {
	specs := []shardstore.Spec{{Name: "a", URL: "sqlite:" + filepath.Join(b.TempDir(), "a.db")}}
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

// BenchmarkBareInsert is the limit: the same rows into a table of the same shape by multi-row INSERTs in a transaction,
// with nothing looked up and no sequencer.
func BenchmarkBareInsert(b *testing.B) {
	for _, rows := range benchRows {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) { benchBareInsert(b, rows) })
	}
}

func benchBareInsert(b *testing.B, rows int) {
	db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, ddl := range []string{
		`CREATE TABLE inbox (seq INTEGER PRIMARY KEY, pid INTEGER, userid BLOB, msg_id BLOB, from_user BLOB, from_name BLOB,
			sent_ms INTEGER, body BLOB, UNIQUE (msg_id, from_user, userid)) STRICT`,
		`CREATE INDEX inbox_mailbox ON inbox (userid, seq)`,
	} {
		if _, err := db.Exec(ddl); err != nil {
			b.Fatal(err)
		}
	}
	insert, err := db.Prepare("INSERT INTO inbox VALUES " + strings.Repeat(",(?,?,?,?,?,?,?,?)", rows)[1:])
	if err != nil {
		b.Fatal(err)
	}
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
