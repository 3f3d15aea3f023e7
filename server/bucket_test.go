package server

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
)

func TestABucketKeepsToItsRate(t *testing.T) {
	r := rate{every: time.Second, burst: 3}
	const s, ms = time.Second, time.Millisecond
	var b bucket
	for i, step := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {0, true}, {0, true}, {0, false}, // a burst
		{999 * ms, false}, {1 * s, true}, {1 * s, false}, // and then one in every
		{3 * s, true}, {3 * s, true}, {3 * s, false}, // those that were left meanwhile
		{100 * s, true}, {100 * s, true}, {100 * s, true}, {100 * s, false}, // never more than a burst
	} {
		if empty := b.empty(r, step.at); empty == step.want {
			t.Errorf("step %d: empty is %v", i, empty)
		}
		if got := b.take(r, step.at); got != step.want {
			t.Errorf("step %d: at %v, %v", i, step.at, got)
		}
	}
}

func TestABucketWithoutALimitIsNeverEmpty(t *testing.T) {
	for name, r := range map[string]rate{"zero": {}, "negative sends": sendRate(-1, 0), "a negative burst": sendRate(0, -1),
		"guesses": newGuesses(-1).rate} {
		var b bucket
		for range 10_000 {
			if !b.take(r, 0) || b.empty(r, 0) {
				t.Fatalf("%s: empty", name)
			}
		}
	}
}

func TestABucketIsSharedFairly(t *testing.T) {
	r := rate{every: time.Second, burst: 100}
	var b bucket
	var taken atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if b.take(r, 0) {
					taken.Add(1)
				}
			}
		})
	}
	group.Wait()
	if taken.Load() != 100 {
		t.Errorf("%d of 400 were let through, want 100", taken.Load())
	}
}

func TestLimitsHaveDefaults(t *testing.T) {
	if got, want := sendRate(0, 0), (rate{5 * time.Millisecond, 1000}); got != want {
		t.Errorf("a user may send %+v, want %+v", got, want)
	}
	if got, want := sendRate(50, 10), (rate{20 * time.Millisecond, 10}); got != want {
		t.Errorf("by its settings %+v, want %+v", got, want)
	}
	if got, want := newGuesses(0).rate, (rate{3 * time.Second, 20}); got != want {
		t.Errorf("an address may guess %+v, want %+v", got, want)
	}
}

// An IPv6 client has a whole /64 to call from.
func TestGuessesCountByAddress(t *testing.T) {
	g := newGuesses(1)
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:2", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8:0:1::1", false},
	} {
		a, b := g.bucket(netip.MustParseAddr(test.a)), g.bucket(netip.MustParseAddr(test.b))
		for !test.same && a == b { // one time in 65536
			g = newGuesses(1)
			a, b = g.bucket(netip.MustParseAddr(test.a)), g.bucket(netip.MustParseAddr(test.b))
		}
		if (a == b) != test.same {
			t.Errorf("%s and %s: one bucket is %v", test.a, test.b, a == b)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { g.count(netip.MustParseAddr("192.0.2.1"), 0) }); allocs != 0 {
		t.Errorf("counting a wrong password allocates %v times", allocs)
	}
}

// noShards is a store of which nothing is asked.
type noShards struct{ Store }

func (noShards) Shards() []chat.ShardNumber { return nil }

func TestANewPasswordIsNoNewAllowance(t *testing.T) {
	a, loader := newAccounts(noShards{}), &accountLoader{}
	var buckets []*bucket
	for i := range 3 {
		u := a.remember(chat.User{ID: "alice", Hash: fmt.Sprint(i)}, loader, int64(i), 0)
		buckets = append(buckets, u.sends)
	}
	if buckets[0] != buckets[1] || buckets[1] != buckets[2] {
		t.Error("what a user may send is counted anew")
	}
	if other := a.remember(chat.User{ID: "bob"}, loader, 0, 0); other.sends == buckets[0] {
		t.Error("two users share what they may send")
	}
}
