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
	fewIdle  = 100
	manyIdle = 100_000

	// idleTurn is longer than a turn, since what is counted are a few statements a second.
	idleTurn = 5 * time.Second

	// No statement is for one poll, so that many users cost no more than few, and none of them a share of their own.
	statementsPerPoll   = 0.001
	statementsPerSecond = 20 // of a server to a shard

	// While devices become known there are hundreds. This is far from what is measured later, so that nothing is chosen by it.
	statementsWhileBusy = 5 * statementsPerSecond
)

// measureIdlePolls counts the statements that MySQL is given while users poll once a second each, and nothing waits for them.
func measureIdlePolls(t *testing.T, g *ground) Row {
	c := g.onMySQL(t)
	db := g.database.AdminDB(t)
	addUsers(t, c.db, "idle", manyIdle)
	var contenders []contender
	for _, n := range []int{fewIdle, manyIdle} {
		f := newFlood(t, c.udp, pollsOf(n, func(i int) []byte { return fmt.Appendf(nil, "poll:idle%d:%s:10001", i, password) }))
		name := "of " + thousands(int64(n)) + " users"
		contenders = append(contenders, contender{name, func(t *testing.T, _ time.Duration) map[string]float64 {
			return idlePolls(t, c, db, f, float64(n))
		}})
	}
	few, many := contenders[0], contenders[1]
	r := make(results)
	for _, one := range []contender{few, many} {
		r[one.name] = make(map[string]Series)
		becomeIdle(t, one)
		for round := range *rounds {
			r.round(t, one, round, idleTurn)
		}
	}
	const perSecond, perPoll = "statements/s", "statements/poll"
	ours := r.of(many.name, perSecond)
	return Row{
		Name:  fmt.Sprintf("statements that MySQL is given by a server, while %s users poll once a second and nothing waits", thousands(manyIdle)),
		Notes: []string{"The two have their turns one after the other, each once all its users are known."},
		Figures: []Figure{
			{What: "statements a second, of a server to a shard", Ours: ours, Beside: []Beside{
				{Name: "its own, with " + thousands(fewIdle) + " users", Theirs: r.of(few.name, perSecond)},
				{Name: "limit", Theirs: Constant(statementsPerSecond, *rounds), Target: AtMost(1)},
			}},
			{What: "statements per poll", Ours: r.of(many.name, perPoll), Beside: []Beside{
				{Name: "a plain server: one query", Theirs: Constant(1, *rounds), Target: Within("≤ 0.001", statementsPerPoll)},
			}},
			{What: "polls a second that reach a server", Ours: r.of(many.name, "polls/s"), Beside: []Beside{
				{Name: "limit: all", Theirs: Constant(manyIdle, *rounds), Target: AtLeast(0.9)},
			}},
		},
	}
}

// becomeIdle has clients poll until all are known, and all that this took is over.
func becomeIdle(t *testing.T, of contender) {
	t.Helper()
	fmt.Printf("  polls %s begin\n", of.name)
	proctest.Eventually(t, 3*time.Minute, func() error {
		if n := of.run(t, idleTurn)["statements/s"]; n > statementsWhileBusy {
			return fmt.Errorf("each server still gives its shard %.0f statements a second", n)
		}
		return nil
	})
}

func idlePolls(t *testing.T, c *cluster, db *sql.DB, f *flood, rate float64) map[string]float64 {
	t.Helper()
	before, polls, begin := status(t, db, "Questions"), c.polls(t), time.Now()
	f.run(t, rate, idleTurn)
	took := time.Since(begin).Seconds()
	statements := status(t, db, "Questions") - before - 1 // the first of these two is one
	polls = c.polls(t) - polls
	return map[string]float64{"statements/s": statements / took / float64(len(c.servers)), "statements/poll": statements / polls,
		"polls/s": polls / took}
}

// polls is how many the servers have done so far: what they dropped is none.
func (c *cluster) polls(t *testing.T) (n float64) {
	t.Helper()
	for _, s := range c.servers {
		n += s.polls(t) - s.drops(t)
	}
	return n
}

// polls is how many have come to the node so far.
func (n *node) polls(t *testing.T) float64 {
	t.Helper()
	return metrics(t, n.admin)["multichat_polls_total"]
}
