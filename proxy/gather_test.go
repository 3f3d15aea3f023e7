package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A client whose polls go to another server for a moment is given again what its own has not stored yet.
func TestAProxyThatBeginsUsesNoPartOfTheServers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	const tries = 10
	for try := range tries {
		first, inTime := f.firstRoute(t, fmt.Sprint("proxy-", 2+try))
		if !inTime {
			continue // it may have gone without the slow server
		}
		if !strings.Contains(first, "[server-1 server-2 server-3]") {
			t.Errorf("the first route is %s", first)
		}
		return
	}
	t.Fatalf("%d proxies had no link to all servers within %v: the machine is too busy to tell", tries, gatherTime)
}

// firstRoute is the first route of a proxy one of whose servers is slow, and whether all were linked before it had to go without.
func (f *fleet) firstRoute(t *testing.T, name string) (route string, inTime bool) {
	t.Helper()
	slow := f.servers[2]
	slow.relay.stall(true)
	begin, dials := time.Now(), slow.relay.connections()
	links := []int{f.servers[0].links(), f.servers[1].links()}
	proxy := startProxy(t, name, f.node)
	defer proxy.end()
	eventually(t, "the slow server is dialled", func() bool { return slow.relay.connections() > dials })
	eventually(t, "the others are linked", func() bool { return f.servers[0].links() > links[0] && f.servers[1].links() > links[1] })
	slow.relay.stall(false)
	eventually(t, "there is a route", func() bool { return len(proxy.routed()) > 0 })
	return proxy.log.Lines("msg=route")[0], time.Since(begin) < gatherTime
}

func TestAProxyThatBeginsWaitsForNoServerForLong(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	f.servers[2].relay.stall(true)
	begin := time.Now()
	second := startProxy(t, "proxy-2", f.node)
	eventually(t, "there is a route", func() bool { return len(second.routed()) > 0 })
	took := time.Since(begin)
	t.Logf("there was a route after %v", took.Round(ms))
	if got := second.routed(); !slices.Equal(got, f.names[:2]) {
		t.Errorf("it routes to %v", got)
	}
	if took < gatherTime-100*ms || took > gatherTime+2*time.Second {
		t.Errorf("it took %v, want about %v", took, gatherTime)
	}
}
