//go:build linux

package peers

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"multichat/internal/proctest"
)

const (
	// broadcastStreams are those that a broadcast goes to.
	broadcastStreams = 10_000

	// A turn is so many messages, one after another, so that a query more or less at its ends does not count as one of a message.
	broadcastsOfTurn = 10

	// broadcastWatch is how long queries are counted without a message.
	broadcastWatch = 2 * time.Second
)

// measureBroadcast stores one message to everyone, and takes the time until it has come to all streams. A loop that writes the same
// bytes to as many connections is the limit.
func measureBroadcast(t *testing.T, g *ground) Row {
	needFiles(t, broadcastStreams+1000)
	c := g.onMySQL(t)
	db := g.database.AdminDB(t)
	addUsers(t, c.db, "listen", broadcastStreams)
	heard := listen(t, c.tcp, broadcastStreams, func(i int) (greeting, answer string) {
		return fmt.Sprintf("poll;v=2;id=in:listen%d:%s:0\n", i, password), "ok;id=in\n"
	})
	n := 0
	next := func() string {
		n++
		return fmt.Sprint("to everyone ", n)
	}
	r := alone(t, contender{"multichat", func(t *testing.T, _ time.Duration) map[string]float64 { return broadcast(t, c, db, heard, next) }})
	heard.close() // this process cannot have as many files open for both
	loop := startHelper(t, "fan")
	fanned := listen(t, loop.addr, broadcastStreams, func(int) (greeting, answer string) { return "", "" })
	proctest.Eventually(t, 10*time.Second, func() error {
		if n := loop.done(t); n < broadcastStreams {
			return fmt.Errorf("the loop has only %.0f connections", n)
		}
		return nil
	})
	limit := alone(t, contender{"loop", func(t *testing.T, _ time.Duration) map[string]float64 {
		slowest := 0.0
		for range broadcastsOfTurn {
			text := next()
			line := fmt.Sprintf("newmsg;id=%032d;to=%%;seq=%d;len=%d:%d:send0:send0:%s", n, n, len(text), time.Now().Unix(), text)
			slowest = max(slowest, fanned.await(t, text, func() { loop.say(t, line) }))
		}
		return map[string]float64{"ms": slowest}
	}})
	took, queries := r.of("multichat", "ms"), r.of("multichat", "queries")
	return Row{
		Name: fmt.Sprintf("a message to everyone, to %s streams, on MySQL", thousands(broadcastStreams)),
		Figures: []Figure{
			{What: fmt.Sprintf("ms from the send to the last delivery, the slowest of %d messages", broadcastsOfTurn), Ours: took, Beside: []Beside{
				{Name: "limit: a loop that writes the same to as many connections", Theirs: limit.of("loop", "ms")},
				{Name: "limit: one second", Theirs: Constant(1000, *rounds), Target: AtMost(1)},
			}},
			{What: "rows stored per message", Ours: r.of("multichat", "rows"), Beside: []Beside{
				{Name: "limit: one", Theirs: Constant(1, *rounds), Target: AtMost(1)},
			}},
			{What: "queries per message, beyond those without one", Ours: queries, Reason: broadcastReason, Beside: []Beside{
				{Name: "limit: one of each server", Theirs: Constant(float64(len(c.servers)), *rounds), Target: AtMost(1)},
			}},
		},
		Notes: []string{"The loop has its turns after all of multichat's: few machines let one process have as many connections for both."},
	}
}

const broadcastReason = "the server that stores the message reads nothing; each other one looks once, and that is three queries: for the " +
	"shard's head, for what is above the reader's position, and for the texts of what somebody reads there."

// broadcast has messages to everyone stored and delivered, one after another.
func broadcast(t *testing.T, c *cluster, db *sql.DB, heard *listeners, next func() string) map[string]float64 {
	t.Helper()
	const selects = "Com_select"
	watch := func(meanwhile func()) (queries, seconds float64) {
		before, begin := status(t, db, selects), time.Now()
		meanwhile()
		took := time.Since(begin)
		return status(t, db, selects) - before, took.Seconds()
	}
	idle, quiet := watch(func() { time.Sleep(broadcastWatch) })
	rows, slowest := c.broadcasts(t), 0.0
	queries, busy := watch(func() {
		for range broadcastsOfTurn {
			text := next()
			slowest = max(slowest, heard.await(t, text, func() { c.sendToAll(t, text) }))
		}
	})
	return map[string]float64{"ms": slowest, "rows": (c.broadcasts(t) - rows) / broadcastsOfTurn,
		"queries": (queries - idle/quiet*busy) / broadcastsOfTurn}
}

// broadcasts is how many messages to everyone are stored.
func (c *cluster) broadcasts(t *testing.T) (n float64) {
	t.Helper()
	if err := c.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM inbox WHERE userid = ?", "%").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
