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
	stripes [64]struct {
		mu    sync.RWMutex
		byKey map[deviceKey]*device
	}

	listing sync.Mutex
	byUser  map[chat.UserID][]*device // at most chat.MaxDevices each
	total   int
}

// maxDevices bounds the table. A poll of one more is dropped and counted. So is one of a user's device beyond
// chat.MaxDevices, for as long as the others poll: each new one means dialling a port that somebody has named.
const maxDevices = 1 << 20

func newDevices() *devices {
	t := &devices{seed: maphash.MakeSeed(), byUser: make(map[chat.UserID][]*device)}
	for i := range t.stripes {
		t.stripes[i].byKey = make(map[deviceKey]*device)
	}
	return t
}

func (t *devices) stripe(k deviceKey) int {
	return int(maphash.Comparable(t.seed, k) % uint64(len(t.stripes)))
}

func (t *devices) lookup(k deviceKey) *device {
	s := &t.stripes[t.stripe(k)]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byKey[k]
}

// add puts d into the table unless there is one with its key, and returns the one that is there now.
func (t *devices) add(d *device) *device {
	s := &t.stripes[t.stripe(d.key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.byKey[d.key]; known != nil {
		return known
	}
	s.byKey[d.key] = d
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
	s := &t.stripes[t.stripe(d.key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !d.forget(now, deviceStale) {
		return nil
	}
	delete(s.byKey, d.key)
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
		for k, d := range s.byKey {
			if d.forget(now, deviceIdle) {
				delete(s.byKey, k)
				t.unlist(d)
				removed = append(removed, d)
			} else if d.unseen(now, seenInterval) {
				unseen = append(unseen, d)
			}
		}
		s.mu.Unlock()
	}
	return removed, unseen
}
