package edge

import (
	"net/netip"
	"sync"
)

// addrConns counts the open connections of each client address. It holds no more addresses than connections are served.
type addrConns struct {
	max int // of one address; negative: no limit, and nothing is counted

	mu   sync.Mutex
	open map[netip.Addr]int
}

func newAddrConns(max int) *addrConns {
	return &addrConns{max: max, open: make(map[netip.Addr]int)}
}

// enter counts a connection, unless its address has as many as it may. Each that entered leaves.
func (a *addrConns) enter(client netip.Addr) bool {
	if a.max < 0 {
		return true
	}
	network := clientNetwork(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[network] >= a.max {
		return false
	}
	a.open[network]++
	return true
}

func (a *addrConns) leave(client netip.Addr) {
	if a.max < 0 {
		return
	}
	network := clientNetwork(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[network]--; a.open[network] == 0 {
		delete(a.open, network)
	}
}

// clientNetwork is what counts as one client: an IPv4 address, or the /64 of an IPv6 one, whose other half the client
// chooses.
func clientNetwork(client netip.Addr) netip.Addr {
	client = client.Unmap()
	if client.Is6() {
		prefix, _ := client.Prefix(64) // no error: an IPv6 address has 64 bits
		return prefix.Addr()
	}
	return client
}
