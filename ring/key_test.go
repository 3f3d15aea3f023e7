package ring

import (
	"net/netip"
	"testing"
)

func TestClientKeyIsOfTheCanonicalAddress(t *testing.T) {
	for _, tc := range []struct {
		name string
		a, b string
		same bool
	}{
		{"IPv4 inside IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
		{"two IPv4 addresses inside IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"neighbouring /64s", "2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"with a zone and without", "fe80::1%eth0", "fe80::1", true},
		{"IPv4 and the IPv6 that begins like it", "192.0.2.1", "c000:201::1", false},
		{"IPv4 with zeros and IPv6 of zeros", "0.0.0.0", "::", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := ClientKey(netip.MustParseAddr(tc.a), 7), ClientKey(netip.MustParseAddr(tc.b), 7)
			if (a == b) != tc.same {
				t.Errorf("the keys of %s and %s are %#x and %#x; same should be %v", tc.a, tc.b, a, b, tc.same)
			}
		})
	}
}

func TestClientKeyOfNobody(t *testing.T) {
	if ClientKey(netip.Addr{}, 1) == ClientKey(netip.IPv4Unspecified(), 1) {
		t.Error("the zero Addr has the key of 0.0.0.0")
	}
}

// The clients of one network must spread over the servers, and those that meet under one seed must part under another.
func TestClientKeySpreads(t *testing.T) {
	const clients, servers = 4096, 5
	r := mustNew(t, numbered(servers)...)
	for name, first := range map[string]string{"IPv4": "10.1.0.0", "IPv6 by /64": "2001:db8::"} {
		t.Run(name, func(t *testing.T) {
			shares := make(map[string]int)
			stayed := 0
			addr := netip.MustParseAddr(first)
			for range clients {
				owner, _ := r.Owner(ClientKey(addr, 1))
				shares[owner]++
				if other, _ := r.Owner(ClientKey(addr, 2)); other == owner {
					stayed++
				}
				addr = nextClient(addr)
			}
			for server, share := range shares {
				if mean := clients / servers; share < mean/2 || share > mean*3/2 {
					t.Errorf("%s has %d of %d clients", server, share, clients)
				}
			}
			if stayed > clients*2/servers {
				t.Errorf("%d of %d clients have the same server under another seed", stayed, clients)
			}
		})
	}
}

// nextClient is the next IPv4 address, or an address in the next IPv6 /64.
func nextClient(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a.Next()
	}
	b := a.As16()
	for i := 7; ; i-- {
		if b[i]++; b[i] != 0 {
			return netip.AddrFrom16(b)
		}
	}
}

func TestClientKeyAllocatesNothing(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0"} {
		a := netip.MustParseAddr(s)
		if n := testing.AllocsPerRun(1000, func() { ClientKey(a, 7) }); n != 0 {
			t.Errorf("the key of %s costs %v allocations", s, n)
		}
	}
}

func BenchmarkClientKey(b *testing.B) {
	b.ReportAllocs()
	a := netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		ClientKey(a, 7)
	}
}
