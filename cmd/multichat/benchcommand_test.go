package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"multichat/internal/bench"
	"multichat/internal/proctest"
)

// What bench says of a cluster is so, and nothing of it stays behind.
func TestBenchMeasuresAndLeavesNobody(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		_, first := c.startProxy(0)
		_, second := c.startProxy(1)
		before := run(t, slices.Concat([]string{"user", "list"}, c.shards)...)
		proxies := []string{"--proxy", proxyFlag(t, first), "--proxy", proxyFlag(t, second)}

		report := benchmark(t, slices.Concat([]string{"--users", "6", "--seconds", "2", "--rate", "300", "--broadcast", "20", "--check"},
			proxies, c.shards), nil)
		if report.Stored < 300 || report.Stored != report.Sent || report.Received <= report.Stored || report.Undelivered != 0 {
			t.Errorf("of %d messages %d were stored, and %d received", report.Sent, report.Stored, report.Received)
		}
		if report.Ack.P50 <= 0 || report.Ack.P50 > report.Ack.P99 || report.Ack.P99 > report.Ack.Max || report.Delivery.Max <= 0 {
			t.Errorf("times that cannot be: %+v and %+v", report.Ack, report.Delivery)
		}
		if v := report.Verdict; v == nil || v.Acked != int(report.Stored) || v.Delivered != int(report.Received) {
			t.Errorf("the checker saw something else: %+v", v)
		}

		// Who has enough of it is told what came out so far.
		report = benchmark(t, slices.Concat([]string{"--users", "2", "--seconds", "60"}, proxies, c.shards), func(p *os.Process, said *proctest.Output) {
			proctest.Eventually(t, 30*time.Second, func() error {
				if !strings.Contains(said.String(), "stored/s") {
					return errors.New("it does not send yet")
				}
				return nil
			})
			p.Signal(os.Interrupt)
		})
		if report.Stored == 0 || report.Seconds > 30 || report.Undelivered != 0 {
			t.Errorf("interrupted, it reported %+v", report)
		}
		if after := run(t, slices.Concat([]string{"user", "list"}, c.shards)...); after != before {
			t.Errorf("these users are there now:\n%s\nbefore there were\n%s", after, before)
		}

		// Users who are there already stay.
		report = benchmark(t, slices.Concat([]string{"--user", "alice", "--user", "bob", "--seconds", "1", "--rate", "100"}, proxies), nil)
		if report.Users != 2 || report.Stored < 50 || report.Undelivered != 0 {
			t.Errorf("with alice and bob, it reported %+v", report)
		}
	})
}

// benchmark runs bench to its end, and wants 0 of it.
func benchmark(t *testing.T, args []string, meanwhile func(*os.Process, *proctest.Output)) (report bench.Report) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"bench", "--json"}, args...)...)
	cmd.Env = append(os.Environ(), "MULTICHAT_PASSWORD=demo")
	var out bytes.Buffer
	var said proctest.Output
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(90*time.Second, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	if meanwhile != nil {
		meanwhile(cmd.Process, &said)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("bench %s: %v\n%s%s", strings.Join(args, " "), err, &said, &out)
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	return report
}
