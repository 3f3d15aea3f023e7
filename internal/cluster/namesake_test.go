package cluster

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestNamesakesAreToldOnceTheyLast(t *testing.T) {
	one, two := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	n, now := namesakes{}, time.Unix(1000, 0)
	for _, step := range []struct {
		what  string
		after time.Duration
		note  bool
		told  int
	}{
		{"the first sign may be a restart", 0, true, 0},
		{"so may one soon after it", namesakeGrace - time.Second, true, 0},
		{"then it is told", time.Second, true, 1},
		{"and not again at once", time.Second, true, 0},
		{"but after a while", namesakeEvery, true, 1},
		{"what has ended is forgotten", 10 * namesakeEvery, true, 0},
	} {
		now = now.Add(step.after)
		if step.note {
			n.note("twin", one, two, now)
		}
		if due := n.overdue(now); len(due) != step.told {
			t.Errorf("%s: told %v", step.what, due)
		}
	}
}

func TestNamesakesAreBounded(t *testing.T) {
	n, now := namesakes{}, time.Unix(1000, 0)
	for i := range 10 * maxNamesakes {
		n.note(fmt.Sprint(i), netip.AddrPort{}, netip.AddrPort{}, now)
	}
	if len(n) != maxNamesakes {
		t.Errorf("%d names are watched", len(n))
	}
}

func TestPaceOfJoining(t *testing.T) {
	p := pace{pause: firstPause}
	var waits []time.Duration
	for range 7 {
		waits = append(waits, p.next())
	}
	want := "[250ms 500ms 1s 2s 4s 5s 5s]"
	if got := fmt.Sprint(waits); got != want {
		t.Errorf("a quiet node waits %v, want %v", got, want)
	}

	if !p.contest() || p.contest() {
		t.Error("a contest is news the first time")
	}
	for range claimRounds {
		if !p.claiming() || p.next() != claimPause {
			t.Fatal("a contested name is not claimed soon")
		}
	}
	if p.claiming() || p.next() != rejoinEvery {
		t.Error("a name that is settled is still claimed")
	}

	hurried := 0
	for range 100 {
		p.contest()
		if p.next() == claimPause {
			hurried++
		}
	}
	if hurried != maxClaims {
		t.Errorf("a name that another node holds for good is claimed %d times in a hurry, not %d", hurried, maxClaims)
	}
}
