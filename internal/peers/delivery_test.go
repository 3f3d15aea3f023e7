//go:build linux

package peers

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"multichat/client"
	running "multichat/internal/bench"
	"multichat/internal/chat"
)

const (
	deliveryRate = 1000 // messages a second, of all users
	commitEvery  = 25 * time.Millisecond
)

// measureDelivery has users write to each other at an even pace, and takes the time from when a message is due until its reader has
// it. In the same seconds single messages are committed on the same shard, beside the servers: no delivery can be quicker.
func measureDelivery(t *testing.T, g *ground) Row {
	row := Row{Name: fmt.Sprintf("from the send to the delivery on streams, at %s/s", thousands(deliveryRate))}
	grounds := []string{"SQLite"}
	contenders := []contender{{"SQLite", deliveries(t, g.onSQLite())}}
	if g.findsMySQL(t) {
		grounds = append(grounds, "MySQL")
		contenders = append(contenders, contender{"MySQL", deliveries(t, g.onMySQL(t))})
	} else {
		row.Notes = append(row.Notes, noMySQL)
	}
	r := compete(t, contenders...)
	for _, on := range grounds {
		p50, p99, commit := r.of(on, "ms p50"), r.of(on, "ms p99"), r.of(on, "ms commit p50")
		row.Figures = append(row.Figures,
			Figure{What: "ms, half of the messages (p50), on " + on, Ours: p50, Reason: deliveryReason, Beside: []Beside{
				{Name: "limit: the shard's single commit, p50", Theirs: commit, Comparison: p50.Minus(commit), Target: Within("≤ 1 ms more", 1)},
			}},
			Figure{What: "ms, 99 of 100 (p99), on " + on, Ours: p99, Beside: []Beside{
				{Name: "its own p50", Theirs: p50, Target: AtMost(5)},
				{Name: "limit: the shard's single commit, p99", Theirs: r.of(on, "ms commit p99")},
			}})
	}
	return row
}

const deliveryReason = "a server has one batch in flight for a shard, and servers take turns at its counter: a message that comes while one " +
	"commits waits for its end, and then for its own commit. That is so by design, and is not shown by a profile."

func deliveries(t *testing.T, c *cluster) func(*testing.T, time.Duration) map[string]float64 {
	t.Helper()
	gate := netip.MustParseAddrPort(c.tcp)
	cfg := running.Config{Proxies: []client.Address{{Host: gate.Addr().String(), TCP: gate.Port()}}, Password: chat.NewSecret(password),
		Rate: deliveryRate, Window: 256, Size: 100}
	for _, user := range userNames("read", readers) {
		cfg.Users = append(cfg.Users, chat.UserID(user))
	}
	store := openStore(t, c.shard)
	shard := store.Locate("box0")
	return func(t *testing.T, d time.Duration) map[string]float64 {
		stop, ended := make(chan struct{}), make(chan []time.Duration)
		go func() {
			ended <- commitSingly(t, stop, func(now time.Time) error {
				stored, err := store.Append(t.Context(), shard, []chat.Submission{{ID: chat.MessageID(fmt.Sprintf("%016x", now.UnixNano())),
					From: "send0", FromName: "send0", To: "box0", Text: []byte(text), Sent: now}})
				if err == nil && stored[0].Err != nil {
					err = stored[0].Err
				}
				return err
			})
		}()
		cfg.Duration = d
		report, err := running.Run(t.Context(), cfg)
		close(stop)
		commits := <-ended
		if err == nil {
			err = report.Err()
		}
		if err == nil && report.Failed > 0 {
			err = fmt.Errorf("%d messages were refused", report.Failed)
		}
		if err != nil || len(commits) == 0 {
			t.Fatalf("%d single commits; %v", len(commits), err)
		}
		slices.Sort(commits)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		return map[string]float64{"ms p50": report.Delivery.P50, "ms p99": report.Delivery.P99,
			"ms commit p50": ms(commits[len(commits)/2]), "ms commit p99": ms(commits[len(commits)*99/100])}
	}
}

// commitSingly commits one message after another at a pace, and says how long each took.
func commitSingly(t *testing.T, stop <-chan struct{}, commit func(time.Time) error) (took []time.Duration) {
	pace := time.NewTicker(commitEvery)
	defer pace.Stop()
	for {
		select {
		case <-stop:
			return took
		case <-pace.C:
		}
		begin := time.Now()
		if err := commit(begin); err != nil {
			t.Errorf("a single commit: %v", err)
			return took
		}
		took = append(took, time.Since(begin))
	}
}
