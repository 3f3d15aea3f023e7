//go:build linux

package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// unansweredAlone is how many messages of a stream are under way where each is stored by itself: more would wait for longer than a
// server holds them.
const unansweredAlone = 8

// measurePrices shows what batches are worth and what encryption costs: the same work with the engine that stores each message by
// itself, and in a build for tests whose links are not encrypted.
func measurePrices(t *testing.T, g *ground) Row {
	inClear := variant{program: g.mistaken(t), env: []string{"MULTICHAT_FAULTS=links-in-clear"}, proxy: unlimited}
	inClearSync := inClear
	inClearSync.server = []string{"--engine=sync"}
	const usual, singly, open, both = "the default", "--engine=sync", "links in clear", "--engine=sync, links in clear"
	polls := pollDatagrams()
	var sends, polling []contender
	for _, v := range []struct {
		name string
		variant
		window int
	}{
		{usual, variant{proxy: unlimited}, unanswered},
		{singly, variant{server: []string{"--engine=sync"}, proxy: unlimited}, unansweredAlone},
		{open, inClear, unanswered},
		{both, inClearSync, unansweredAlone},
	} {
		c := g.newMySQLCluster(t, v.variant)
		sends = append(sends, contender{v.name, g.streamsTo(c, startSenders(t, c, v.window), 0)})
		if v.name == usual || v.name == open {
			f := newFlood(t, c.udp, polls)
			f.run(t, 2000, time.Second) // passwords are known after that
			polling = append(polling, contender{v.name, func(t *testing.T, d time.Duration) map[string]float64 {
				before, cpu := c.polls(t), cpuSeconds(t, c.pids()...)
				f.run(t, pollRate/2, d)
				time.Sleep(settleTime)
				return map[string]float64{"CPU µs/poll": 1e6 * (cpuSeconds(t, c.pids()...) - cpu) / (c.polls(t) - before)}
			}})
		}
	}
	r := compete(t, append(sends, polling...)...)
	row := Row{Name: "what batches are worth, and what the links' TLS costs, on MySQL", Notes: []string{
		"Messages are sent on streams as in row 3. The CPU seconds of polls are those of the proxy and both servers."}}
	for _, figure := range []string{"messages/s", "CPU µs/message", "CPU µs/poll"} {
		f := Figure{What: figure, Ours: r.of(usual, figure)}
		for _, other := range []string{singly, open, both} {
			if theirs := r.of(other, figure); len(theirs) > 0 {
				f.Beside = append(f.Beside, Beside{Name: other, Theirs: theirs})
			}
		}
		row.Figures = append(row.Figures, f)
	}
	return row
}

// mistaken is multichat in the build for tests that can make mistakes.
func (g *ground) mistaken(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "multichat-faults")
	fmt.Println("  building multichat with -tags faults")
	build := exec.Command("go", "build", "-trimpath", "-tags", "faults", "-o", program, "multichat/cmd/multichat")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build multichat: %v: %s", err, out)
	}
	return program
}
