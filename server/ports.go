package server

import (
	"net/netip"
	"sync"
	"time"

	"multichat/internal/wire"
)

// ports settles where version 1 clients listen. Their listen_port has two readings, and the wrong one may be another
// user's client on the same host or behind the same NAT. So:
//
//   - a reading is settled per device by an empty connection that only one of the two answers,
//   - and an (address, port) belongs to the user that settled it, until that user has not polled there for 30 s; to
//     another user nothing is sent there.
//
// All clients of one address are served by the same server, whichever proxy they use, so this table sees them all; but for
// the seconds in which two proxies know of different servers. Then each server settles for itself, by empty connections.
type ports struct {
	mu     sync.Mutex
	owners map[netip.AddrPort]*device
}

// portOwned is how long a port stays its user's after the user's last poll.
const portOwned = 30 * time.Second

func newPorts() *ports { return &ports{owners: make(map[netip.AddrPort]*device)} }

// reserve returns the readings of d's listen_port that may be tried now, and keeps other users from them until the push
// ends with conclude or untried. settled says that the one reading is known to be right.
func (t *ports) reserve(d *device, now time.Duration) (readings []uint16, settled bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.port != 0 {
		at := netip.AddrPortFrom(d.key.client, d.port)
		if owner := t.owners[at]; owner != nil && owner.key.user == d.key.user {
			t.owners[at] = d
			return []uint16{d.port}, true
		}
		d.port = 0 // another user had it meanwhile, and may listen there still
	}
	a, b := wire.Readings(d.key.port)
	for _, port := range []uint16{a, b} {
		if port < wire.MinListenPort || len(readings) > 0 && readings[0] == port || !t.claimLocked(d, port, now) {
			continue
		}
		readings = append(readings, port)
	}
	return readings, false
}

// claimLocked takes a port that belongs to nobody, or to somebody who has not polled for long. One that belongs to
// another device of the same user may be tried, too, but stays that device's: the try may fail.
func (t *ports) claimLocked(d *device, port uint16, now time.Duration) bool {
	at := netip.AddrPortFrom(d.key.client, port)
	owner := t.owners[at]
	if owner == nil || now-time.Duration(owner.polled.Load()) >= portOwned {
		t.owners[at] = d
		return true
	}
	return owner.key.user == d.key.user
}

// conclude ends what reserve began: d keeps the port that answered, if one did, and gives the others back.
func (t *ports) conclude(d *device, answered uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.concludeLocked(d, answered)
}

// untried ends what reserve began when nothing was dialled: what was settled before is so still.
func (t *ports) untried(d *device) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.concludeLocked(d, d.port)
}

func (t *ports) concludeLocked(d *device, answered uint16) {
	d.port = 0
	a, b := wire.Readings(d.key.port)
	for _, port := range []uint16{a, b} {
		at := netip.AddrPortFrom(d.key.client, port)
		owner := t.owners[at]
		switch {
		case port == answered && port != 0 && (owner == nil || owner.key.user == d.key.user):
			t.owners[at], d.port = d, port
		case port != answered && owner == d:
			delete(t.owners, at)
		}
	}
}

// release gives up what a forgotten device owned.
func (t *ports) release(d *device) { t.conclude(d, 0) }
