//go:build linux

package peers

import (
	"fmt"
	"testing"
	"time"
)

// plainConnections are those of a plain server in front of MySQL: each commits one row at a time.
const plainConnections = 32

func measureStreamsOnMySQL(t *testing.T, g *ground) Row {
	c := g.onMySQL(t)
	database := g.databasePids(c)
	return g.measureStreams(t, c, "MySQL", fmt.Sprintf("peer: one row per commit, %d connections", plainConnections),
		g.mysqlTable(t, 1).inserts(t, 1, rowsPerInsert, database...),
		g.mysqlTable(t, plainConnections).inserts(t, plainConnections, 1, database...))
}

// A plain server in front of SQLite has one connection that writes: more would only wait for each other's lock.
func measureStreamsOnSQLite(t *testing.T, g *ground) Row {
	return g.measureStreams(t, g.onSQLite(), "SQLite", "peer: one row per commit, one connection",
		sqliteTable(t).inserts(t, 1, rowsPerInsert), sqliteTable(t).inserts(t, 1, 1))
}

// measureStreams has messages sent on streams, through a proxy, as fast as they are acknowledged: they are stored durably then. The
// limit is a bare INSERT of the same rows into the same table.
func (g *ground) measureStreams(t *testing.T, c *cluster, on, plainName string, bare, plain func(*testing.T, time.Duration) map[string]float64) Row {
	all := startSenders(t, c, unanswered)
	r := compete(t, contender{"multichat", g.streamsTo(c, all, 0)}, contender{"bare", bare}, contender{"plain", plain})
	const rate, cpu = "messages/s", "CPU µs/message"
	limitName := fmt.Sprintf("limit: bare INSERTs of %d rows", rowsPerInsert)
	return Row{
		Name: fmt.Sprintf("messages on %d streams through a proxy, acknowledged when they are durable, on %s", senders, on),
		Figures: []Figure{
			{What: "messages acknowledged a second", Ours: r.of("multichat", rate), Reason: streamReason, Beside: []Beside{
				{Name: limitName, Theirs: r.of("bare", rate), Target: AtLeast(0.5)},
				{Name: plainName, Theirs: r.of("plain", rate), Target: AtLeast(2)},
			}},
			{What: "CPU µs per message", Ours: r.of("multichat", cpu), Beside: []Beside{
				{Name: limitName, Theirs: r.of("bare", cpu)},
				{Name: plainName, Theirs: r.of("plain", cpu)},
			}},
		},
		Notes: []string{"The CPU seconds are those of the proxy, both servers and the database; beside them, of the process that inserts and the database."},
	}
}

const streamReason = "the limit is one process that has nothing to receive, look up or answer. Its CPU time per message is beside: the way " +
	"through the proxy and a server costs more than the INSERT, and all of it shares the cores with the senders."

func (g *ground) streamsTo(c *cluster, all []*sender, rate float64) func(*testing.T, time.Duration) map[string]float64 {
	pids := append(c.pids(), g.databasePids(c)...)
	return func(t *testing.T, d time.Duration) map[string]float64 {
		cpu := cpuSeconds(t, pids...)
		stored, took := streamTurn(t, all, rate, d)
		cpu = cpuSeconds(t, pids...) - cpu
		return map[string]float64{"messages": stored, "messages/s": stored / took.Seconds(), "CPU µs/message": 1e6 * cpu / stored}
	}
}
