package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A client whose polls go to another server for a moment is given again what its own has not stored yet.
func TestAProxyThatBeginsUsesNoPartOfTheServers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	slow := f.servers[2]
	slow.relay.stall(true)
	begin, dials := time.Now(), slow.relay.connections()
	second := startProxy(t, "proxy-2", f.node)
	eventually(t, "the slow server is dialled", func() bool { return slow.relay.connections() > dials })
	time.Sleep(100 * ms) // in which the others are linked, long since
	slow.relay.stall(false)
	if time.Since(begin) > gatherTime/2 {
		t.Skip("the machine is too busy")
	}
	eventually(t, "there is a route", func() bool { return len(second.routed()) > 0 })
	if time.Since(begin) > gatherTime {
		t.Skip("the machine is too busy")
	}
	if first := second.log.lines("msg=route")[0]; !strings.Contains(first, "[server-1 server-2 server-3]") {
		t.Errorf("the first route is %s", first)
	}
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
