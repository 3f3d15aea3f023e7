//go:build linux

package peers

import (
	"database/sql"
	"fmt"
	"testing"
	"time"
)

// measureCommits counts how many transactions MySQL writes to its log for each message.
func measureCommits(t *testing.T, g *ground) Row {
	c := g.onMySQL(t)
	db := g.database.AdminDB(t)
	all := startSenders(t, c, unanswered)
	var contenders []contender
	rates := []float64{100, 2000, 10_000, 0}
	for _, rate := range rates {
		contenders = append(contenders, contender{rateName(rate), perMessage(db, g.streamsTo(c, all, rate))})
	}
	plain := g.mysqlTable(t, plainConnections).inserts(t, plainConnections, 1)
	contenders = append(contenders, contender{"plain", perMessage(db, plain)})
	r := compete(t, contenders...)
	row := Row{Name: "MySQL's commits per message"}
	for _, rate := range rates {
		ours := r.of(rateName(rate), "commits/message")
		limit := Beside{Name: fmt.Sprintf("limit: full batches of %d", rowsPerInsert), Theirs: Constant(1./rowsPerInsert, *rounds)}
		if rate == 0 {
			limit.Comparison, limit.Target = ours, Within("≤ 0.05", 0.05)
		}
		row.Figures = append(row.Figures, Figure{What: "commits per message, " + rateName(rate), Ours: ours, Beside: []Beside{
			limit, {Name: "peer: one row per commit", Theirs: r.of("plain", "commits/message")},
		}})
	}
	return row
}

func rateName(rate float64) string {
	if rate == 0 {
		return "as fast as they are acknowledged"
	}
	return "at " + number(rate) + "/s"
}

// binlogged is how many transactions the database has written to its binary log.
const binlogged = "Binlog_cache_use"

// perMessage counts the database's commits in a turn.
func perMessage(db *sql.DB, run func(*testing.T, time.Duration) map[string]float64) func(*testing.T, time.Duration) map[string]float64 {
	return func(t *testing.T, d time.Duration) map[string]float64 {
		before := status(t, db, binlogged)
		values := run(t, d)
		return map[string]float64{"commits/message": (status(t, db, binlogged) - before) / values["messages"], "messages/s": values["messages/s"]}
	}
}
