//go:build linux

package peers

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pollRate is how many datagrams a second are offered: as many as multichat takes without dropping any while the load
// generator and what stands behind the relay have their share of two cores.
const pollRate = 100_000

// settleTime is until what was sent is through, and counted.
const settleTime = 100 * time.Millisecond

// measurePolls has one proxy relay the polls of many clients, which it checks and counts by address, to the servers that know
// their users. nginx hands the same datagrams to a sink and looks at none.
func measurePolls(t *testing.T, g *ground) Row {
	c := g.onSQLite()
	row := Row{Name: fmt.Sprintf("UDP polls of %d client addresses, relayed by one proxy, at %s/s", pollers, thousands(pollRate))}
	polls := pollDatagrams()
	contenders := []contender{
		{"multichat", ours(t, c, newFlood(t, c.udp, polls))},
		{"bare loop", bareLoop(t, polls)},
	}
	if peer, err := nginxRelay(t, polls); err != nil {
		row.Notes = append(row.Notes, err.Error())
	} else {
		contenders = append(contenders, contender{"nginx", peer})
	}
	r := compete(t, contenders...)
	const perCPU, handed = "polls/CPU s", "handed on"
	limit := Constant(1, *rounds)
	row.Figures = []Figure{
		{What: "polls per CPU second of the relay", Ours: r.of("multichat", perCPU), Reason: pollReason, Beside: []Beside{
			{Name: "peer: nginx stream, to a sink", Theirs: r.of("nginx", perCPU), Target: AtLeast(1.5)},
			{Name: "limit: a loop that receives them as they come, and drops them", Theirs: r.of("bare loop", perCPU), Target: AtLeast(0.7)},
		}},
		{What: "share of the polls that is handed on", Ours: r.of("multichat", handed), Beside: []Beside{
			{Name: "peer: nginx stream", Theirs: r.of("nginx", handed)},
			{Name: "limit: all", Theirs: limit, Target: AtLeast(0.98)},
		}},
		{What: "allocations per poll, in the proxy", Ours: r.of("multichat", "allocations"), Beside: []Beside{
			{Name: "limit: none", Theirs: Constant(0, *rounds), Comparison: r.of("multichat", "allocations"), Target: Within("< 0.01", 0.01)},
		}},
	}
	return row
}

const pollReason = "the loop only receives, and the proxy hands on: by a profile, receiving is a sixth of its CPU time, naming user and " +
	"password by an HMAC and finding the ticket a fifth, reading the poll a tenth, the two links a sixth, and being woken a tenth."

func pollDatagrams() []poll {
	return pollsOf(pollers, func(i int) []byte { return fmt.Appendf(nil, "poll:poll%d:%s:%d", i, password, 10001+i) })
}

// ours is the proxy's turn. What it allocates without polls, in the same time, is not theirs.
func ours(t *testing.T, c *cluster, load *flood) func(*testing.T, time.Duration) map[string]float64 {
	const mallocs = "go_memstats_mallocs_total"
	load.run(t, 2000, time.Second) // passwords are known after that
	before := metrics(t, c.proxy.admin)
	time.Sleep(turn())
	idle := metrics(t, c.proxy.admin)[mallocs] - before[mallocs]
	return func(t *testing.T, d time.Duration) map[string]float64 {
		before := metrics(t, c.proxy.admin)
		cpu := cpuSeconds(t, c.proxy.pid())
		sent := load.run(t, pollRate, d)
		time.Sleep(settleTime)
		cpu = cpuSeconds(t, c.proxy.pid()) - cpu
		after := metrics(t, c.proxy.admin)
		handed := after["multichat_polls_total"] - before["multichat_polls_total"]
		return map[string]float64{"polls/CPU s": handed / cpu, "handed on": handed / sent,
			"allocations": max(0, after[mallocs]-before[mallocs]-idle) / handed}
	}
}

func bareLoop(t *testing.T, polls []poll) func(*testing.T, time.Duration) map[string]float64 {
	loop := startHelper(t, "receive")
	return throughRelay(newFlood(t, loop.addr, polls), loop.pid, loop)
}

func nginxRelay(t *testing.T, polls []poll) (func(*testing.T, time.Duration) map[string]float64, error) {
	if _, err := nginx.find(); err != nil {
		return nil, err
	}
	sink, listens := startHelper(t, "receive"), freeAddress(t)
	config := fmt.Sprintf(nginxConfig, runtime.NumCPU(), sink.addr, listens)
	pid, err := nginx.start(t, config, listens, "-p", "DIR", "-c", "FILE", "-e", "stderr")
	if err != nil {
		return nil, err
	}
	return throughRelay(newFlood(t, listens, polls), pid, sink), nil
}

// throughRelay is the turn of a relay behind which a helper counts.
func throughRelay(load *flood, relay int, counts *helper) func(*testing.T, time.Duration) map[string]float64 {
	return func(t *testing.T, d time.Duration) map[string]float64 {
		done, cpu := counts.done(t), cpuSeconds(t, relay)
		sent := load.run(t, pollRate, d)
		time.Sleep(settleTime)
		cpu = cpuSeconds(t, relay) - cpu
		done = counts.done(t) - done
		return map[string]float64{"polls/CPU s": done / cpu, "handed on": done / sent}
	}
}

// nginxConfig is nginx as its operators would set it up for this: a worker for each core, each with a socket of its own, and
// sessions that last. With proxy_responses 0 it would make a socket for each datagram, which nobody would do.
var nginxConfig = strings.TrimSpace(`
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid DIR/nginx.pid;
worker_processes %d;
worker_rlimit_nofile 16384;
error_log stderr crit;
events { worker_connections 8192; }
stream {
	upstream servers {
		hash $remote_addr consistent;
		server %s;
	}
	server {
		listen %s udp reuseport rcvbuf=4m;
		proxy_pass servers;
		proxy_timeout 10m;
	}
}
`) + "\n"
