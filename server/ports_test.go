package server

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
)

// 10001 and 4391 are each other's readings; 1027's other reading, 772, is never dialled; 4626 reads the same both ways.
var natAddr = netip.MustParseAddr("127.0.0.1")

func polledBy(user chat.UserID, port uint16, at time.Duration) *device {
	d := &device{key: deviceKey{user, natAddr, port}}
	d.polled.Store(int64(at))
	return d
}

func (t *ports) expect(tb testing.TB, what string, d *device, now time.Duration, settled bool, want ...uint16) {
	tb.Helper()
	got, isSettled := t.reserve(d, now)
	if !slices.Equal(got, want) || isSettled != settled {
		tb.Errorf("%s: readings %v, settled: %v; want %v, %v", what, got, isSettled, want, settled)
	}
}

func TestReadingsThatMayBeTried(t *testing.T) {
	for _, test := range []struct {
		name    string
		printed uint16
		want    []uint16
	}{
		{"both", 10001, []uint16{10001, 4391}},
		{"both, the other way round", 4391, []uint16{4391, 10001}},
		{"the other is below 1024", 1027, []uint16{1027}},
		{"it itself is below 1024", 772, []uint16{1027}},
		{"both are the same", 4626, []uint16{4626}},
		{"both are below 1024", 0, nil},
	} {
		newPorts().expect(t, test.name, polledBy("bob", test.printed, 0), 0, false, test.want...)
	}
}

func TestAReadingIsSettledUntilItFails(t *testing.T) {
	ports, bob := newPorts(), polledBy("bob", 10001, 0)
	ports.expect(t, "first", bob, 0, false, 10001, 4391)
	ports.conclude(bob, 4391)
	ports.expect(t, "after an answer", bob, 1, true, 4391)
	ports.untried(bob)
	ports.expect(t, "after nothing was tried", bob, 1, true, 4391)
	ports.conclude(bob, 0)
	ports.expect(t, "after it failed", bob, 2, false, 10001, 4391)
	ports.untried(bob)
	ports.expect(t, "after nothing was tried and nothing settled", bob, 3, false, 10001, 4391)
	ports.conclude(bob, 31337) // a receipt that names a port that was not asked for
	ports.expect(t, "after nonsense", bob, 4, false, 10001, 4391)
	ports.release(bob)
	if len(ports.owners) != 0 {
		t.Errorf("%d ports are still somebody's", len(ports.owners))
	}
}

func TestAPortBelongsToTheUserThatSettledIt(t *testing.T) {
	ports := newPorts()
	bob, mallory := polledBy("bob", 10001, 0), polledBy("mallory", 10001, 0)
	ports.expect(t, "while nobody has it", bob, 0, false, 10001, 4391)
	ports.expect(t, "while another user's push settles it", mallory, 0, false)
	ports.conclude(bob, 10001)
	ports.expect(t, "another user's is left out", mallory, 1, false, 4391)
	ports.conclude(mallory, 0)

	bob.polled.Store(int64(time.Minute))
	ports.expect(t, "less than 30 s after its user's last poll", mallory, time.Minute+portOwned-1, false, 4391)
	ports.conclude(mallory, 0)
	ports.expect(t, "30 s after it", mallory, time.Minute+portOwned, false, 10001, 4391)
	mallory.polled.Store(int64(time.Minute + portOwned))
	ports.conclude(mallory, 10001)

	bob.polled.Store(int64(2 * time.Minute))
	ports.expect(t, "its first user comes back too late", bob, time.Minute+portOwned+1, false, 4391)
	ports.conclude(bob, 0)
}

func TestAPortThatWasAnotherUsersIsSettledAnew(t *testing.T) {
	ports := newPorts()
	bob, mallory := polledBy("bob", 10001, 0), polledBy("mallory", 10001, portOwned)
	ports.reserve(bob, 0)
	ports.conclude(bob, 10001)
	ports.reserve(mallory, portOwned)
	ports.conclude(mallory, 10001)
	ports.release(mallory)
	ports.expect(t, "bob comes back when mallory has gone", bob, portOwned, false, 10001, 4391)
}

// Two clients of one user, one per generation, at ports that are each other's readings: what the second one tries does not
// free what the first one has.
func TestAnotherDeviceOfTheUserTakesNothingAway(t *testing.T) {
	ports := newPorts()
	first, second, mallory := polledBy("bob", 10001, 0), polledBy("bob", 4391, 0), polledBy("mallory", 10001, 0)
	ports.reserve(first, 0)
	ports.conclude(first, 10001)
	ports.expect(t, "the second device", second, 0, false, 4391, 10001)
	ports.conclude(second, 0) // both answered
	ports.expect(t, "another user", mallory, 0, false, 4391)
	ports.conclude(mallory, 0)
	ports.expect(t, "the first device", first, 0, true, 10001)
	ports.conclude(first, 10001)

	ports.reserve(second, 0)
	ports.conclude(second, 10001) // the first has ended, the second listens there now
	ports.release(first)
	ports.expect(t, "another user, when the first device is forgotten", mallory, 0, false, 4391)
}

func TestPortsOfOtherAddressesAreOtherPorts(t *testing.T) {
	ports := newPorts()
	bob, carol := polledBy("bob", 10001, 0), polledBy("carol", 10001, 0)
	carol.key.client = netip.MustParseAddr("127.0.0.2")
	ports.reserve(bob, 0)
	ports.conclude(bob, 10001)
	ports.expect(t, "the same port elsewhere", carol, 0, false, 10001, 4391)
}
