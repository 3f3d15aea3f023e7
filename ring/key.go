package ring

import (
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// Key is what a ring places: a hash that is spread evenly over all 64 bits.
type Key uint64

// ClientKey is the key of the client at this address: its xxhash64 under seed, a secret that all processes derive from
// the cluster key. It does not allocate.
//
// One client has one key, however it is written: an IPv4 address inside IPv6 (::ffff:192.0.2.1) counts as the IPv4
// address, and an IPv6 address by its first 64 bits and without its zone, since the rest changes at the client's will.
// So does everybody behind one NAT have one key. The zero Addr, which is nobody's, has a key too.
//
// The seed keeps a client from computing which addresses lead to which server. It does not hide that from who can see
// the server that answers: xxhash is no message authentication code.
func ClientKey(client netip.Addr, seed uint64) Key {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	switch client = client.Unmap(); {
	case client.Is4():
		b := client.As4()
		d.Write(b[:])
	case client.Is6():
		b := client.As16()
		d.Write(b[:8])
	}
	return Key(d.Sum64())
}
