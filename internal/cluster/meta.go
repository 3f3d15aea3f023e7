package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/hashicorp/memberlist"
)

// What a node says of itself travels with its gossip as the library's "meta":
//
//	version u8 · role u8 · flags u8 · digest u64 · address length u8 (0, 4 or 16) · address · port u16
//
// Later versions only append: a reader takes what it knows of a newer one, so a cluster can be upgraded node by node.
const (
	metaVersion  = 1
	flagDraining = 1 << 0

	metaFixed = 1 + 1 + 1 + 8 + 1
	maxMeta   = metaFixed + 16 + 2
)

// The library panics on a meta over its limit. Ours has an upper bound, so the compiler can see that it never is.
const _ = uint(memberlist.MetaMaxSize - maxMeta)

// encodeMeta is the meta of m. The name and whether m is missing are not in it.
func encodeMeta(m Member) []byte {
	var flags byte
	if m.Draining {
		flags |= flagDraining
	}
	addr := m.Link.Addr().AsSlice()
	b := make([]byte, 0, maxMeta)
	b = append(b, metaVersion, byte(m.Role), flags)
	b = binary.BigEndian.AppendUint64(b, m.Digest)
	b = append(b, byte(len(addr)))
	b = append(b, addr...)
	return binary.BigEndian.AppendUint16(b, m.Link.Port())
}

var errShortMeta = errors.New("it ends too early")

// decodeMeta reads what another node says of itself. Nothing in b is trusted.
func decodeMeta(name string, b []byte) (Member, error) {
	if err := CheckName(name); err != nil {
		return Member{}, err
	}
	if len(b) < metaFixed {
		return Member{}, errShortMeta
	}
	if b[0] < metaVersion {
		return Member{}, fmt.Errorf("version %d is unknown", b[0])
	}
	m := Member{Name: name, Role: Role(b[1]), Draining: b[2]&flagDraining != 0, Digest: binary.BigEndian.Uint64(b[3:])}
	size, rest := int(b[metaFixed-1]), b[metaFixed:]
	if len(rest) < size+2 {
		return Member{}, errShortMeta
	}
	switch port := binary.BigEndian.Uint16(rest[size:]); size {
	case 4, 16:
		addr, _ := netip.AddrFromSlice(rest[:size])
		m.Link = netip.AddrPortFrom(addr.Unmap(), port)
	case 0:
	default:
		return Member{}, fmt.Errorf("an address of %d bytes", size)
	}
	return m, m.check()
}
