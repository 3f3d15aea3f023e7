package ring_test

import (
	"fmt"
	"net/netip"

	"multichat/ring"
)

func Example() {
	r, err := ring.New([]string{"server-3", "server-1", "server-2"})
	if err != nil {
		fmt.Println(err)
		return
	}
	const seed = 42 // in earnest a secret of the cluster
	key := ring.ClientKey(netip.MustParseAddr("192.0.2.7"), seed)
	for server := range r.Order(key) { // the owner, then who takes over
		fmt.Println(server)
	}
	// Output:
	// server-3
	// server-1
	// server-2
}
