package link

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// ticks drives a pinger at its usual pace from one time to another.
func ticks(p *pinger, from, to time.Time) (pings []uint64) {
	for now := from; !now.After(to); now = now.Add(25 * ms) {
		if id, ping := p.tick(now); ping {
			pings = append(pings, id)
		}
	}
	return pings
}

func TestPingerPingsOncePerInterval(t *testing.T) {
	p := newPinger(100 * ms)
	begin := time.Unix(1000, 0)
	var pings int
	for now := begin; now.Before(begin.Add(time.Second)); now = now.Add(25 * ms) {
		if id, ping := p.tick(now); ping {
			pings++
			p.pong(id)
		}
		if s := p.unanswered(); s != 0 {
			t.Fatalf("silence is %v though every ping was answered", s)
		}
	}
	if pings != 10 {
		t.Errorf("%d pings in a second, want 10", pings)
	}
}

func TestSilenceGrowsUntilThePong(t *testing.T) {
	p := newPinger(100 * ms)
	begin := time.Unix(1000, 0)
	pings := ticks(p, begin, begin.Add(500*ms))
	if len(pings) != 1 {
		t.Fatalf("pings %v while the first was unanswered, want only that", pings)
	}
	if s := p.unanswered(); s != 500*ms {
		t.Errorf("silence is %v after 500ms without a pong", s)
	}
	p.pong(pings[0] + 1)
	if s := p.unanswered(); s != 500*ms {
		t.Errorf("silence is %v after the pong to another ping, want it unchanged", s)
	}
	p.pong(pings[0])
	if s := p.unanswered(); s != 0 {
		t.Errorf("silence is %v after the pong", s)
	}
}

func TestOwnLatenessAccusesNobody(t *testing.T) {
	p := newPinger(100 * ms)
	begin := time.Unix(1000, 0)
	ticks(p, begin, begin.Add(400*ms))
	stopped := begin.Add(400 * ms)
	if s := p.unanswered(); s != 400*ms {
		t.Fatalf("silence is %v, want 400ms", s)
	}
	woken := stopped.Add(5 * time.Second)
	if s := p.unanswered(); s != 400*ms {
		t.Errorf("silence grew to %v while the process was stopped", s)
	}
	p.tick(woken)
	if s := p.unanswered(); s != 0 {
		t.Errorf("silence is %v after the process was stopped; want it to be counted anew", s)
	}
	ticks(p, woken.Add(25*ms), woken.Add(500*ms))
	if s := p.unanswered(); s != 500*ms {
		t.Errorf("silence is %v 500ms after that, want 500ms", s)
	}
}
