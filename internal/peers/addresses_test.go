//go:build linux

package peers

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"multichat/internal/proctest"
)

const (
	manyAddresses = 1_000_000
	fewAddresses  = 10_000
	addressUsers  = 1000
	addressRate   = 100_000 // polls a second

	// A user has so many devices that poll at once at a server, at most: many devices take more users. A server remembers a device for
	// a minute, in which all of these have polled.
	devicesOfUser = 32
	knownDevices  = 256_000
	knownRate     = 8_000 // polls a second

	mebibyte       = 1 << 20
	proxyGrowth    = 64  // MiB, at most
	bytesPerDevice = 256 // in a server, at most
)

// measureAddresses has a million clients poll, each from an address of its own, through a proxy with its usual limits.
func measureAddresses(t *testing.T, g *ground) Row {
	c := g.newMySQLCluster(t, variant{})
	addUsers(t, c.db, "addr", addressUsers)
	newFlood(t, c.udp, addressPolls("addr", fewAddresses, addressUsers)).run(t, fewAddresses/2, 4*time.Second)
	files, memory := c.files(t), c.proxy.resident(t)
	many := newFlood(t, c.udp, addressPolls("addr", manyAddresses, addressUsers))
	r := alone(t, contender{"multichat", func(t *testing.T, _ time.Duration) map[string]float64 {
		const handed = "multichat_polls_total"
		before := metrics(t, c.proxy.admin)[handed]
		sent := many.run(t, addressRate, manyAddresses/addressRate*time.Second)
		time.Sleep(settleTime)
		return map[string]float64{"handed on": (metrics(t, c.proxy.admin)[handed] - before) / sent,
			"MiB more in the proxy": (c.proxy.resident(t) - memory) / mebibyte, "more files": c.files(t) - files}
	}})
	perDevice, perDeviceResident := rememberDevices(t, c)
	growth, moreFiles := r.of("multichat", "MiB more in the proxy"), r.of("multichat", "more files")
	return Row{
		Name: fmt.Sprintf("%s client addresses that poll as %s users, after %s have", thousands(manyAddresses), thousands(addressUsers),
			thousands(fewAddresses)),
		Figures: []Figure{
			{What: "open files more, of all nodes", Ours: moreFiles, Beside: []Beside{
				{Name: "limit: none", Theirs: Constant(0, *rounds), Comparison: moreFiles, Target: Within("≤ 0", 0)},
			}},
			{What: "MiB more in the proxy", Ours: growth, Beside: []Beside{
				{Name: "limit", Theirs: Constant(proxyGrowth, *rounds), Target: AtMost(1)},
			}},
			{What: "share of the polls that is handed on", Ours: r.of("multichat", "handed on"), Beside: []Beside{
				{Name: "limit: all", Theirs: Constant(1, *rounds), Target: AtLeast(0.9)},
			}},
			{What: fmt.Sprintf("bytes of a server's heap per device, with %s devices", thousands(knownDevices)), Ours: perDevice, Beside: []Beside{
				{Name: "limit", Theirs: Constant(bytesPerDevice, 1), Target: AtMost(1)},
				{Name: "its resident memory, garbage included", Theirs: perDeviceResident},
			}},
		},
		Notes: []string{fmt.Sprintf("A server remembers at most %d devices of a user that poll at once, and drops what others poll, so bytes per "+
			"device are those of devices of %s users, taken once, right after a collection of garbage.", devicesOfUser,
			thousands(knownDevices/devicesOfUser))},
	}
}

// addressPolls are those of n clients that are so many users of a kind.
func addressPolls(kind string, n, users int) []poll {
	return pollsOf(n, func(i int) []byte {
		return fmt.Appendf(nil, "poll:%s%d:%s:%d", kind, i%users, password, 10001+i%50_000)
	})
}

// rememberDevices has servers know many devices, and says what one of them takes.
func rememberDevices(t *testing.T, c *cluster) (heap, memory Series) {
	t.Helper()
	addUsers(t, c.db, "known", knownDevices/devicesOfUser)
	polls := addressPolls("known", knownDevices, knownDevices/devicesOfUser)
	addDevices(t, c.db, polls)
	sum := func(of func(*node) float64) (n float64) {
		for _, s := range c.servers {
			n += of(s)
		}
		return n
	}
	resident := func() float64 { return sum(func(s *node) float64 { return s.resident(t) }) }
	live := func() float64 {
		heaps := c.liveHeaps(t)
		return sum(func(s *node) float64 { return heaps[s] })
	}
	fmt.Println("  waiting for the servers to collect their garbage, which they do every two minutes at least")
	before, residentBefore := live(), resident()
	f := newFlood(t, c.udp, polls)
	stop := f.goOn(t, knownRate)
	time.Sleep(2 * knownDevices / knownRate * time.Second)
	dropped := sum(func(s *node) float64 { return s.drops(t) })
	time.Sleep(knownDevices / knownRate * time.Second)
	if n := sum(func(s *node) float64 { return s.drops(t) }) - dropped; n > 0 {
		t.Errorf("%.0f of %d polls were dropped, so that not all devices are known", n, knownDevices)
	}
	heap, memory = Series{(live() - before) / knownDevices}, Series{(resident() - residentBefore) / knownDevices}
	stop()
	return heap, memory
}

// drops is how many polls the node has dropped so far, for whatever reason.
func (n *node) drops(t *testing.T) (dropped float64) {
	t.Helper()
	for name, value := range metrics(t, n.admin) {
		if strings.HasPrefix(name, "multichat_drops_total") {
			dropped += value
		}
	}
	return dropped
}

// liveHeaps are the bytes of each server's heap right after a collection of garbage that began after the call: the least that it
// is seen to have from the collection's end on, since what it found is freed in the moments after that.
func (c *cluster) liveHeaps(t *testing.T) map[*node]float64 {
	t.Helper()
	const collections, heap = "go_gc_duration_seconds_count", "go_memstats_heap_alloc_bytes"
	enough, heaps := make(map[*node]float64), make(map[*node]float64)
	for _, s := range c.servers {
		enough[s] = metrics(t, s.admin)[collections] + 2 // the next one may have begun already
	}
	look := func() error {
		for _, s := range c.servers {
			if m := metrics(t, s.admin); m[collections] >= enough[s] {
				if least, seen := heaps[s]; !seen || m[heap] < least {
					heaps[s] = m[heap]
				}
			}
		}
		if len(heaps) < len(c.servers) {
			time.Sleep(100 * time.Millisecond)
			return fmt.Errorf("only %d of %d servers have collected their garbage", len(heaps), len(c.servers))
		}
		return nil
	}
	proctest.Eventually(t, 5*time.Minute, look)
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		look()
	}
	return heaps
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
