package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/chat"
	"multichat/server"
)

const day = 24 * time.Hour

// commitAged stores messages that were sent so long ago. Their texts are the ages.
func (c *cluster) commitAged(to chat.Mailbox, ages ...time.Duration) {
	c.t.Helper()
	batch := make([]chat.Submission, len(ages))
	for i, age := range ages {
		batch[i] = submission("alice", to, fmt.Sprint(age))
		batch[i].Sent = time.Now().Add(-age)
	}
	c.commitBatch(batch)
}

// unsee makes the store believe that it has not heard of any device for so long.
func (c *cluster) unsee(age time.Duration) {
	c.t.Helper()
	for _, file := range c.files {
		db, err := sql.Open("sqlite", file)
		if err != nil {
			c.t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("UPDATE cursor SET seen_at = ?", time.Now().Add(-age).UnixMilli()); err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestWhatIsTooOldIsDeleted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		retention time.Duration
		kept      []time.Duration // of the ages
	}{
		{"after 30 days by default", 0, []time.Duration{29 * day, 12 * day, time.Hour}},
		{"after a day at the earliest", server.MinRetention, []time.Duration{time.Hour}},
		{"after a year", 365 * day, []time.Duration{300 * day, 31 * day, 29 * day, 12 * day, time.Hour}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2)
			c.addUsers("alice", "bob")
			n := c.serve(func(cfg *server.Config) { cfg.Retention = test.retention })
			var want []chat.MessageID
			for _, age := range test.kept {
				want = append(want, chat.MessageID(fmt.Sprint(age)))
			}
			for _, to := range []chat.Mailbox{"bob", chat.Everyone} {
				c.commitAged(to, 300*day, 31*day, 29*day, 12*day, time.Hour)
			}
			if err := n.DeleteOld(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, to := range []chat.Mailbox{"bob", chat.Everyone} {
				if got := idsOf(c.stored(to)); !slices.Equal(got, want) {
					t.Errorf("%s has %v left, want %v", to, got, want)
				}
			}
		})
	}
}

func TestDevicesThatNobodySeesAreForgotten(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := newClient(t, "bob")
	bob.join(n)
	for _, test := range []struct {
		unseen time.Duration
		kept   bool
	}{{29 * day, true}, {31 * day, false}} {
		c.unsee(test.unseen)
		if err := n.DeleteOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, kept := c.cursor("bob", bob.device()); kept != test.kept {
			t.Errorf("a device unseen for %v is kept: %v, want %v", test.unseen, kept, test.kept)
		}
	}
}

func TestRetentionsRunIsInTheLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice", "bob")
	var log bytes.Buffer
	n := c.serve(func(cfg *server.Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	newClient(t, "bob").join(n)
	c.unsee(40 * day)
	c.commitAged("bob", 33*day, 32*day, 31*day)
	for range 2 { // the second finds nothing, and says so little
		if err := n.DeleteOld(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n.end()
	want := fmt.Sprintf("shard=%s messages=3 devices=1 older_than=720h0m0s took=", n.store.Name(c.Locate("bob")))
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
		t.Errorf("the log is %q, want one line with %q", got, want)
	}
}

func TestMuchIsDeletedInChunks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	c.keepOld(1200)
	n := c.serve()
	if err := n.DeleteOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := n.store.count("Prune"); got != 4 {
		t.Errorf("1200 messages were deleted in %d transactions, want 3 and one that finds no more", got)
	}
	if got := len(c.stored("bob")); got != 0 {
		t.Errorf("%d are left", got)
	}
}

func TestRetentionThatWouldForgetRetriesIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		d  time.Duration
		ok bool
	}{{0, true}, {day, true}, {1000 * day, true}, {day - time.Second, false}, {time.Nanosecond, false}, {-day, false}} {
		if err := server.CheckRetention(test.d); (err == nil) != test.ok {
			t.Errorf("%v: error %v, want one: %v", test.d, err, !test.ok)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a server was made that keeps messages for an hour")
		}
	}()
	server.New(server.Config{Retention: time.Hour})
}

func TestAServerDeletesByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.addUsers("alice", "bob")
		c.serve()
		c.commitAged("bob", 31*day)
		time.Sleep(15*time.Minute + time.Second)
		if got := c.stored("bob"); len(got) != 0 {
			t.Error("a quarter of an hour after the start of a server, what is too old is still there")
		}
	})
}

// Only retention runs here, since hours of a whole server are long even without waiting.
func TestRetentionGoesOnForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.addUsers("alice", "bob")
		var log bytes.Buffer
		store := watch(c.Store)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			server.New(server.Config{Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))}).ServeRetention(ctx)
			close(ended)
		}()
		for _, test := range []struct {
			when string
			fail hook
			wait time.Duration
			left int
		}{
			{"after the start", nil, 15 * time.Minute, 0},
			{"an hour later, give or take half of one", nil, 90 * time.Minute, 0},
			{"an hour later, while the shard does not answer", func(context.Context, func() error) error {
				return chat.Errorf(chat.CodeUnavail, "the shard does not answer")
			}, 90 * time.Minute, 1},
			{"soon after it answers again", nil, 90 * time.Second, 0},
		} {
			store.on("Prune", test.fail)
			c.commitAged("bob", 31*day)
			time.Sleep(test.wait + time.Second)
			if got := len(c.stored("bob")); got != test.left {
				t.Errorf("%s, %d messages that are too old are left, want %d", test.when, got, test.left)
			}
		}
		end()
		<-ended
		for _, line := range []string{`level=WARN msg="old messages cannot be deleted`, `level=INFO msg="old messages are deleted again"`} {
			if !strings.Contains(log.String(), line) {
				t.Errorf("the log has no %s: %s", line, log.String())
			}
		}
	})
}
