package edge

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/metrics"
)

func TestClientIsItsAddressOrItsNetwork(t *testing.T) {
	for _, tc := range []struct {
		name, a, b string
		same       bool
	}{
		{"IPv4", "192.0.2.1", "192.0.2.1", true},
		{"two of IPv4", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 in IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two of them", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"one /64", "2001:db8::1", "2001:db8::ffff:0:0:2", true},
		{"two /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"one with a zone", "fe80::1", "fe80::1%eth0", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := netip.MustParseAddr(tc.a), netip.MustParseAddr(tc.b)
			conns := newAddrConns(1)
			if !conns.enter(a) {
				t.Fatal("the first connection is refused")
			}
			if same := !conns.enter(b); same != tc.same {
				t.Errorf("by connections they are the same: %v, want %v", same, tc.same)
			}
			synctest.Test(t, func(t *testing.T) { // so that a second does not end in between
				polls := newAddrPolls(1)
				if !polls.take(a) {
					t.Fatal("the first poll is refused")
				}
				if same := !polls.take(b); same != tc.same {
					t.Errorf("by polls they are the same: %v, want %v", same, tc.same)
				}
			})
		})
	}
}

func TestAddressWithoutConnectionsIsForgotten(t *testing.T) {
	conns := newAddrConns(5)
	client := netip.MustParseAddr("192.0.2.1")
	conns.enter(client)
	conns.enter(client)
	conns.leave(client)
	conns.leave(client)
	if len(conns.open) != 0 {
		t.Errorf("remembered are %v", conns.open)
	}
}

func TestPollsAreCountedBySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := newAddrPolls(2000)
		client := netip.MustParseAddr("192.0.2.1")
		for second := range 5 {
			for i := range 3000 {
				if taken := polls.take(client); taken != (i < 2000) {
					t.Fatalf("poll %d of second %d is taken: %v", i, second, taken)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

// Two addresses share a slot now and then, and never for long.
func TestFloodDoesNotSilenceAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := newAddrPolls(1)
		const clients, seconds = 1000, 50
		lost := 0
		for range seconds {
			for i := range clients {
				if !polls.take(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) {
					lost++
				}
			}
			time.Sleep(time.Second)
		}
		if expected := seconds * clients * clients / 2 / pollSlots; lost > 3*expected {
			t.Errorf("%d polls were lost to others' by chance, and %d would be usual", lost, expected)
		}
	})
}

func newPollListener(max int) *pollListener {
	return &pollListener{handler: newPipeHandler(), rates: newAddrPolls(max), metrics: metrics.New(), log: slog.New(slog.DiscardHandler)}
}

func TestPollDoesNotAllocate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		max    int
		client string
	}{
		{"from IPv4", 1 << 30, "192.0.2.1"},
		{"from IPv6", 1 << 30, "2001:db8::1"},
		{"beyond the bound", 1, "192.0.2.1"},
		{"without a bound", -1, "192.0.2.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, client, datagram := newPollListener(tc.max), netip.MustParseAddr(tc.client), []byte("poll:alice:secret:4391")
			if n := testing.AllocsPerRun(100, func() { l.handlePoll(datagram, client) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkPoll(b *testing.B) {
	for _, tc := range []struct {
		name string
		max  int
	}{{"bounded", 1 << 30}, {"unbounded", -1}} {
		b.Run(tc.name, func(b *testing.B) {
			l, client, datagram := newPollListener(tc.max), netip.MustParseAddr("192.0.2.1"), []byte("poll:alice:secret:4391")
			b.ReportAllocs()
			for b.Loop() {
				l.handlePoll(datagram, client)
			}
		})
	}
}
