//go:build linux

package peers

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	manyAddresses = 1_000_000
	addressUsers  = 1000
	addressRate   = 100_000 // polls a second
	knownRate     = 40_000  // the same, while servers remember a million devices

	// A user has so many devices that poll at once at a server, at most: as many devices as addresses take more users.
	devicesOfUser = 32
	knownUsers    = manyAddresses / devicesOfUser

	mebibyte       = 1 << 20
	proxyGrowth    = 64  // MiB, at most
	bytesPerDevice = 256 // in a server, at most
)

// measureAddresses has a million clients poll, each from an address of its own, through a proxy with its usual limits.
func measureAddresses(t *testing.T, g *ground) Row {
	c := g.newMySQLCluster(t, variant{})
	addUsers(t, c.db, "addr", knownUsers)
	newFlood(t, c.udp, addressPolls(addressUsers, addressUsers)).run(t, addressUsers, 4*time.Second) // their passwords are known after that
	files, memory := c.files(t), c.proxy.resident(t)
	many := newFlood(t, c.udp, addressPolls(manyAddresses, addressUsers))
	r := alone(t, contender{"multichat", func(t *testing.T, _ time.Duration) map[string]float64 {
		const handed = "multichat_polls_total"
		before := metrics(t, c.proxy.admin)[handed]
		sent := many.run(t, addressRate, manyAddresses/addressRate*time.Second)
		return map[string]float64{"handed on": (metrics(t, c.proxy.admin)[handed] - before) / sent,
			"MiB more in the proxy": (c.proxy.resident(t) - memory) / mebibyte, "more files": c.files(t) - files}
	}})
	perDevice, perDeviceResident := rememberDevices(t, c)
	growth, moreFiles := r.of("multichat", "MiB more in the proxy"), r.of("multichat", "more files")
	return Row{
		Name: fmt.Sprintf("%s client addresses that poll as %s users", thousands(manyAddresses), thousands(addressUsers)),
		Figures: []Figure{
			{What: "open files more, of all nodes", Ours: moreFiles, Beside: []Beside{
				{Name: "limit: none", Theirs: Constant(0, *rounds), Comparison: moreFiles, Target: Within("≤ 0", 0)},
			}},
			{What: "MiB more in the proxy", Ours: growth, Beside: []Beside{
				{Name: "limit", Theirs: Constant(proxyGrowth, *rounds), Target: AtMost(1)},
			}},
			{What: "share of the polls that is handed on", Ours: r.of("multichat", "handed on"), Beside: []Beside{
				{Name: "limit: all", Theirs: Constant(1, *rounds)},
			}},
			{What: "bytes of a server's heap per device, with a million devices", Ours: perDevice, Beside: []Beside{
				{Name: "limit", Theirs: Constant(bytesPerDevice, 1), Target: AtMost(1)},
				{Name: "its resident memory, garbage included", Theirs: perDeviceResident},
			}},
		},
		Notes: []string{fmt.Sprintf("A server remembers at most %d devices of a user that poll at once, and drops what others poll, so bytes per "+
			"device are those of as many devices of %s users, taken once, right after a collection of garbage.", devicesOfUser, thousands(knownUsers))},
	}
}

// addressPolls are those of n clients that are so many users.
func addressPolls(n, users int) []poll {
	return pollsOf(n, func(i int) []byte { return fmt.Appendf(nil, "poll:addr%d:%s:%d", i%users, password, 10001+i%50_000) })
}

// rememberDevices has servers know a million devices, and says what one of them takes.
func rememberDevices(t *testing.T, c *cluster) (heap, memory Series) {
	t.Helper()
	live := func() (bytes float64) {
		for _, s := range c.servers {
			bytes += metrics(t, s.admin)["go_memstats_heap_alloc_bytes"]
		}
		return bytes
	}
	residents := func() (bytes float64) {
		for _, s := range c.servers {
			bytes += s.resident(t)
		}
		return bytes
	}
	before, residentBefore := live(), residents()
	stop := newFlood(t, c.udp, addressPolls(manyAddresses, knownUsers)).goOn(t, knownRate)
	told := newTeller("devices")
	eventually(t, 10*time.Minute, func() error {
		var known int
		if err := c.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM `cursor`").Scan(&known); err != nil {
			t.Fatal(err)
		}
		if told.tell(known); known < manyAddresses {
			time.Sleep(time.Second)
			return fmt.Errorf("only %d devices are known", known)
		}
		return nil
	})
	fmt.Println("  waiting for the servers to collect their garbage, which they do every two minutes at least")
	for _, s := range c.servers {
		s.awaitCollection(t)
	}
	devices := float64(manyAddresses)
	heap, memory = Series{(live() - before) / devices}, Series{(residents() - residentBefore) / devices}
	stop()
	return heap, memory
}

// awaitCollection returns when a collection of garbage has begun and ended.
func (n *node) awaitCollection(t *testing.T) {
	t.Helper()
	collections := func() float64 { return metrics(t, n.admin)["go_gc_duration_seconds_count"] }
	enough := collections() + 2 // the next one may have begun already
	eventually(t, 5*time.Minute, func() error {
		if collections() < enough {
			time.Sleep(100 * time.Millisecond)
			return fmt.Errorf("the node at %s has not collected its garbage", n.admin)
		}
		return nil
	})
}

// resident is the node's memory in bytes.
func (n *node) resident(t *testing.T) float64 {
	t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.pid()))
	if err != nil {
		t.Error(err) // and no more: others than the test's goroutine ask
		return math.NaN()
	}
	pages, err := strconv.Atoi(string(bytes.Fields(statm)[1]))
	if err != nil {
		t.Error(err)
		return math.NaN()
	}
	return float64(pages * os.Getpagesize())
}

// files is how many files all nodes have open.
func (c *cluster) files(t *testing.T) (n float64) {
	t.Helper()
	for _, pid := range c.pids() {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		n += float64(len(open))
	}
	return n
}
