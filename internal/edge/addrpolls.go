package edge

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// pollSlots is the size of the table of addrPolls: 512 KiB, whatever comes.
const pollSlots = 1 << 16

// addrPolls bounds how many polls are taken from one client address in a second. It neither allocates nor locks, and
// forgets nothing that it would have to be told.
//
// An address counts in the slot that a hash of it and of the second leads to. Two may meet in one, and then share the
// bound; but the next second leads each elsewhere, and the seed is random. So whoever meets a flood loses one second's
// polls at most.
type addrPolls struct {
	max   int // in a second; negative: no limit
	seed  maphash.Seed
	start time.Time
	slots []atomic.Uint64 // the second since start, and how many in it, 32 bits each
}

func newAddrPolls(max int) *addrPolls {
	a := &addrPolls{max: max, seed: maphash.MakeSeed(), start: time.Now()}
	if max >= 0 {
		a.slots = make([]atomic.Uint64, pollSlots)
	}
	return a
}

// take counts a poll that came now, and says whether it is within the bound.
func (a *addrPolls) take(client netip.Addr) bool {
	if a.max < 0 {
		return true
	}
	second := uint32(time.Since(a.start) / time.Second)
	slot := &a.slots[a.hash(client, second)%pollSlots]
	for {
		seen := slot.Load()
		count := uint32(1)
		if uint32(seen>>32) == second {
			count += uint32(seen)
		}
		if int64(count) > int64(a.max) {
			return false
		}
		if slot.CompareAndSwap(seen, uint64(second)<<32|uint64(count)) {
			return true
		}
	}
}

func (a *addrPolls) hash(client netip.Addr, second uint32) uint64 {
	b := client.As16()
	network := b[:8] // an IPv6 client is its /64
	if client = client.Unmap(); client.Is4() {
		network = b[8:] // what comes before the address is the same for all of IPv4, and no /64 that is in use
	}
	var key [12]byte
	copy(key[:], network)
	binary.LittleEndian.PutUint32(key[8:], second)
	return maphash.Bytes(a.seed, key[:])
}
