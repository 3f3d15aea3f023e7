package server_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/server"
	"multichat/shardstore"
)

// benchCluster is one shard: an empty SQLite file, or what MULTICHAT_BENCH_SHARD says, a URL as --shard takes it.
func benchCluster(b *testing.B) *cluster {
	b.Helper()
	url := cmp.Or(os.Getenv("MULTICHAT_BENCH_SHARD"), "sqlite:"+filepath.Join(b.TempDir(), "bench.db"))
	c := &cluster{t: b, specs: []shardstore.Spec{{Name: "bench", URL: url}}}
	if err := shardstore.Init(b.Context(), c.specs, shardstore.Options{}); err != nil {
		b.Fatal(err)
	}
	c.Store = c.open()
	b.Cleanup(func() { c.Store.Close() })
	for _, id := range []chat.UserID{"alice", "bob"} {
		u := chat.User{ID: id, Name: "Name of " + string(id), Hash: server.HashPassword(chat.NewSecret(passwordOf(id)), cheap)}
		if err := c.AddUser(b.Context(), u); err != nil && !errors.Is(err, shardstore.ErrUserExists) {
			b.Fatal(err)
		}
	}
	return c
}

// BenchmarkSendsBesideRetention is how long sends take on a shard that is full of old messages: while these stay, and
// while they are deleted without end. The two take turns, so that whatever else the machine does meets both.
func BenchmarkSendsBesideRetention(b *testing.B) {
	const rows, senders = 200_000, 8
	for _, engine := range []server.Engine{server.EventEngine, server.SyncEngine} {
		b.Run(engine.String(), func(b *testing.B) {
			c := benchCluster(b)
			c.engine = engine
			c.keepOld(rows)
			n, oldest := c.serve(anyNumberOfSends), c.oldest()
			var deleting atomic.Bool
			ctx, stop := context.WithCancel(b.Context())
			var alternating sync.WaitGroup
			alternating.Go(func() {
				for ctx.Err() == nil {
					phase, end := context.WithTimeout(ctx, 250*time.Millisecond)
					if deleting.Store(!deleting.Load()); deleting.Load() {
						n.DeleteOld(phase)
					}
					<-phase.Done()
					end()
				}
			})
			alone, beside := benchSends(b, n, senders, deleting.Load)
			stop()
			alternating.Wait()
			reportTimes(b, "alone", alone)
			reportTimes(b, "beside", beside)
			deleted := c.oldest().Counter() - oldest.Counter()
			b.ReportMetric(2*float64(deleted)/b.Elapsed().Seconds(), "deleted/s")
			if deleted >= rows {
				b.Log("all old messages were deleted before the end: make -benchtime shorter")
			}
		})
	}
}

// keepOld brings the shard to n messages that retention deletes.
func (c *cluster) keepOld(n int) {
	c.t.Helper()
	sent := time.Now().Add(-server.DefaultRetention - time.Hour)
	for part := range slices.Chunk(numbered(n), 500) {
		batch := make([]chat.Submission, len(part))
		for i, text := range part {
			batch[i] = submission("alice", "bob", fmt.Sprintf("%016x %s", time.Now().UnixNano(), text))
			batch[i].Sent = sent
		}
		c.commitBatch(batch)
	}
}

// oldest is the seq of the oldest message of the first shard.
func (c *cluster) oldest() chat.Seq {
	c.t.Helper()
	_, arrivals, err := c.Arrivals(c.t.Context(), c.Shards()[0], 0, chat.Head{}, 1)
	if err != nil || len(arrivals) == 0 {
		c.t.Fatalf("the oldest message: %v; error %v", arrivals, err)
	}
	return arrivals[0].Seq
}

// benchSends has senders send, b's own loop being one of them, and returns how long that took each time, by whether
// something else went on then.
func benchSends(b *testing.B, n *node, senders int, disturbed func() bool) (alone, beside []time.Duration) {
	b.Helper()
	var mu sync.Mutex
	send := func(id string) {
		began, disturbed := time.Now(), disturbed()
		if _, err := n.send("alice", "bob", chat.MessageID(fmt.Sprintf("%016x %s", began.UnixNano(), id)), "hello"); err != nil {
			b.Error(err)
		}
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		if disturbed {
			beside = append(beside, took)
		} else {
			alone = append(alone, took)
		}
	}
	n.say("alice", "bob", fmt.Sprint("the password is known at ", time.Now().UnixNano()))
	stop := make(chan struct{})
	var others sync.WaitGroup
	for i := range senders - 1 {
		others.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
					send(fmt.Sprint(i, " ", k))
				}
			}
		})
	}
	for b.Loop() {
		send("own")
	}
	close(stop)
	others.Wait()
	return alone, beside
}

func reportTimes(b *testing.B, name string, took []time.Duration) {
	b.Helper()
	if len(took) == 0 {
		b.Logf("no sends %s: make -benchtime longer", name)
		return
	}
	slices.Sort(took)
	for _, percent := range []int{50, 99} {
		b.ReportMetric(took[(len(took)-1)*percent/100].Seconds()*1e3, fmt.Sprintf("%s-p%d-ms", name, percent))
	}
}
