package server

import (
	"slices"
	"testing"
)

// Two keys with one hash may never come in a lifetime, so they are made here.
func TestDevicesWithOneHashAreApart(t *testing.T) {
	t.Parallel()
	const hash = 7
	var all []*device
	for port := range uint16(4) {
		all = append(all, newDevice(deviceKey{user: "alice", port: port}, 1))
	}
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}} {
		s := deviceStripe{byHash: make(map[uint64]*device)}
		for _, d := range all {
			s.insert(hash, d)
		}
		for removed, i := range order {
			s.remove(hash, all[i])
			for j, d := range all {
				want := d
				if slices.Contains(order[:removed+1], j) {
					want = nil
				}
				if got := s.find(hash, d.key); got != want {
					t.Errorf("after %v are removed, device %d is found as %p; want %p", order[:removed+1], j, got, want)
				}
			}
		}
		if len(s.byHash) != 0 {
			t.Errorf("%d hashes are left", len(s.byHash))
		}
	}
}

// The table looks for the quietest device before it has the stripe's lock, so a sweep may take it first.
func TestADeviceIsForgottenOnce(t *testing.T) {
	t.Parallel()
	table := newDevices()
	d := newDevice(deviceKey{user: "alice", port: 1}, 1)
	table.add(d)
	if removed, _ := table.sweep(deviceIdle); len(removed) != 1 {
		t.Fatalf("%d devices are removed", len(removed))
	}
	if d.forget(2*deviceIdle, deviceStale) {
		t.Error("it is forgotten again, and would be removed again")
	}
	if table.total != 0 || len(table.byUser) != 0 {
		t.Errorf("%d devices of %d users are left", table.total, len(table.byUser))
	}
}
