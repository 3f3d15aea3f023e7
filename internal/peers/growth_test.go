//go:build linux

package peers

import (
	"fmt"
	"testing"
	"time"
)

// What a shard holds in the two of whom one has grown.
const (
	smallUsers, grownUsers       = 100, 1_000_000
	smallMessages, grownMessages = 10_000, 10_000_000

	growthPollRate = 20_000
	growth         = 1.2 // times the cost, at most
)

// measureGrowth has two clusters do the same work: one whose shard holds a thousand times as many messages, and more users yet.
func measureGrowth(t *testing.T, g *ground) Row {
	var contenders []contender
	for _, size := range []struct {
		name            string
		users, messages int
	}{{"small", smallUsers, smallMessages}, {"grown", grownUsers, grownMessages}} {
		c := g.newMySQLCluster(t, variant{proxy: unlimited})
		g.addMessages(t, c, "grown", size.users, size.messages)
		addUsers(t, c.db, "grown", size.users)                           // after the messages, so that none waits
		f := newFlood(t, c.udp, pollsOf(smallUsers, func(i int) []byte { // as many of both, from all over the table
			return fmt.Appendf(nil, "poll:grown%d:%s:10001", i*(size.users/smallUsers), password)
		}))
		f.run(t, smallUsers, 3*time.Second) // passwords are known after that
		send := g.streamsTo(c, startSenders(t, c, unanswered), 0)
		pids := append(c.pids(), g.databasePids(c)...)
		contenders = append(contenders,
			contender{size.name + " polls", func(t *testing.T, d time.Duration) map[string]float64 {
				polls, cpu := c.polls(t), cpuSeconds(t, pids...)
				f.run(t, growthPollRate, d)
				time.Sleep(settleTime)
				return map[string]float64{"CPU µs/poll": 1e6 * (cpuSeconds(t, pids...) - cpu) / (c.polls(t) - polls)}
			}},
			contender{size.name + " sends", send})
	}
	r := compete(t, contenders...)
	beside := func(of, figure string) Beside {
		return Beside{Name: "its own, when small", Theirs: r.of("small "+of, figure), Target: AtMost(growth)}
	}
	const perPoll, perMessage, rate = "CPU µs/poll", "CPU µs/message", "messages/s"
	return Row{
		Name: fmt.Sprintf("a shard on MySQL that has grown from %s to %s messages and from %s to %s users", thousands(smallMessages),
			thousands(grownMessages), thousands(smallUsers), thousands(grownUsers)),
		Figures: []Figure{
			{What: "CPU µs per poll", Ours: r.of("grown polls", perPoll), Beside: []Beside{beside("polls", perPoll)}},
			{What: "CPU µs per message sent on a stream", Ours: r.of("grown sends", perMessage), Beside: []Beside{beside("sends", perMessage)}},
			{What: "messages acknowledged a second", Ours: r.of("grown sends", rate), Beside: []Beside{
				{Name: "its own, when small", Theirs: r.of("small sends", rate)},
			}},
		},
		Notes: []string{"The CPU seconds are those of the proxy, both servers and MySQL."},
	}
}
