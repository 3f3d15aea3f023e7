package main_test

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"multichat/internal/chaos"
	"multichat/internal/checker"
)

// buildWithMistakes builds a multichat that makes the mistakes of internal/faults when it is told to.
func buildWithMistakes(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "multichat")
	if out, err := exec.Command("go", "build", "-tags", "faults", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build multichat with mistakes: %v:\n%s", err, out)
	}
	return program
}

// Each of these mistakes, made on purpose in a build for tests, is found by the run that finds none in multichat. One that was
// not would make TestChaos worthless.
func TestChaosFindsMistakes(t *testing.T) {
	isChaos(t)
	program := buildWithMistakes(t)
	for _, control := range []struct {
		mistake string
		faults  chaos.Filter // that bring it to light
		shows   string
		count   func(checker.Report) int
	}{
		{"dedupe-off", chaos.Filter{"stop-server", "kill-proxy"}, "shown twice", func(r checker.Report) int { return r.Duplicated }},
		{"ok-before-commit", chaos.Filter{"kill-server"}, "lost", func(r checker.Report) int { return r.Lost }},
		{"cursor-before-ack", chaos.Filter{"kill-proxy", "stop-proxy"}, "lost", func(r checker.Report) int { return r.Lost }},
		{"push-past-position", nil, "lost", func(r checker.Report) int { return r.Lost }},
	} {
		t.Run(control.mistake, func(t *testing.T) {
			c := newChaosCluster(t, onSQLite, build{program, func(string) string { return control.mistake }})
			report := c.run(t, 1, c.schedule(1, 8*time.Second, control.faults), 5*time.Second)
			if control.count(report) == 0 {
				t.Errorf("with %s nothing is %s", control.mistake, control.shows)
			}
		})
	}
}

// Tickets, cursors and the times of messages are written by servers whose clocks are 5 minutes apart, and read by others.
func TestChaosWithClocksApart(t *testing.T) {
	isChaos(t)
	clocks := map[string]string{"server-1": "clock=+150s", "server-2": "clock=-150s"}
	c := newChaosCluster(t, onSQLite, build{buildWithMistakes(t), func(node string) string { return clocks[node] }})
	report := c.run(t, 1, c.schedule(1, 10*time.Second, chaos.Filter{"kill-server", "end-server"}), chaosSettle)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
}
