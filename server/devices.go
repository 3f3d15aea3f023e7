package server

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"multichat/internal/chat"
)

// devices is the table of the devices that poll here, in stripes, so that polls on many cores rarely meet.
type devices struct {
	seed    maphash.Seed
	stripes [64]deviceStripe

	listing sync.Mutex
	byUser  map[chat.UserID][]*device // at most chat.MaxDevices each
	total   int
}

// deviceStripe is a share of the table. Its map goes by the hash of a key, since the key itself is in the device: it is large, and
// there may be a million of them. Devices whose keys have the same hash, which none may ever have, are a list.
type deviceStripe struct {
	mu     sync.RWMutex
	byHash map[uint64]*device
}

func (s *deviceStripe) find(hash uint64, k deviceKey) *device {
	for d := s.byHash[hash]; d != nil; d = d.next {
		if d.key == k {
			return d
		}
	}
	return nil
}

func (s *deviceStripe) insert(hash uint64, d *device) {
	d.next = s.byHash[hash]
	s.byHash[hash] = d
}

func (s *deviceStripe) remove(hash uint64, d *device) {
	if first := s.byHash[hash]; first != d {
		for first.next != d {
			first = first.next
		}
		first.next = d.next
	} else if d.next != nil {
		s.byHash[hash] = d.next
	} else {
		delete(s.byHash, hash)
	}
}

// maxDevices bounds the table. A poll of one more is dropped and counted. So is one of a user's device beyond
// chat.MaxDevices, for as long as the others poll: each new one means dialling a port that somebody has named.
const maxDevices = 1 << 20

func newDevices() *devices {
	t := &devices{seed: maphash.MakeSeed(), byUser: make(map[chat.UserID][]*device)}
	for i := range t.stripes {
		t.stripes[i].byHash = make(map[uint64]*device)
	}
	return t
}

// place is where a key's device is, if it is there.
func (t *devices) place(k deviceKey) (s *deviceStripe, hash uint64) {
	hash = maphash.Comparable(t.seed, k)
	return &t.stripes[hash%uint64(len(t.stripes))], hash
}

func (t *devices) lookup(k deviceKey) *device {
	s, hash := t.place(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.find(hash, k)
}

// add puts d into the table unless there is one with its key, and returns the one that is there now.
func (t *devices) add(d *device) *device {
	s, hash := t.place(d.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.find(hash, d.key); known != nil {
		return known
	}
	s.insert(hash, d)
	t.listing.Lock()
	t.byUser[d.key.user] = append(t.byUser[d.key.user], d)
	t.total++
	t.listing.Unlock()
	return d
}

// room says whether there is room for n more devices of a user.
func (t *devices) room(user chat.UserID, n int) bool {
	t.listing.Lock()
	defer t.listing.Unlock()
	return len(t.byUser[user])+n <= chat.MaxDevices && t.total+n <= maxDevices
}

// evict removes the device of a user that has polled longest ago and returns it; nil if all still poll.
func (t *devices) evict(user chat.UserID, now time.Duration) *device {
	d := t.quietest(user)
	if d == nil {
		return nil
	}
	s, hash := t.place(d.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !d.forget(now, deviceStale) {
		return nil
	}
	s.remove(hash, d)
	t.unlist(d)
	return d
}

func (t *devices) quietest(user chat.UserID) (quietest *device) {
	t.listing.Lock()
	defer t.listing.Unlock()
	for _, d := range t.byUser[user] {
		if quietest == nil || d.polled.Load() < quietest.polled.Load() {
			quietest = d
		}
	}
	return quietest
}

func (t *devices) unlist(d *device) {
	t.listing.Lock()
	defer t.listing.Unlock()
	t.total--
	rest := slices.DeleteFunc(t.byUser[d.key.user], func(other *device) bool { return other == d })
	if t.byUser[d.key.user] = rest; len(rest) == 0 {
		delete(t.byUser, d.key.user)
	}
}

// sweep removes the devices that have not polled for a while and returns them. It also returns those of the others of
// which the store has not heard for long.
func (t *devices) sweep(now time.Duration) (removed, unseen []*device) {
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.Lock()
		for hash, d := range s.byHash {
			for ; d != nil; d = d.next { // one that is removed still leads to the next
				if d.forget(now, deviceIdle) {
					s.remove(hash, d)
					t.unlist(d)
					removed = append(removed, d)
				} else if d.unseen(now, seenInterval) {
					unseen = append(unseen, d)
				}
			}
		}
		s.mu.Unlock()
	}
	return removed, unseen
}
