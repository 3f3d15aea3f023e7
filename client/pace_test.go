package client

import (
	"testing"
	"time"
)

func TestPausesDoubleWithEachRound(t *testing.T) {
	for rounds, most := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000, 2000} {
		most *= time.Millisecond
		for range 100 {
			if d := usualPace.pause(rounds); d < most/2 || d > most {
				t.Fatalf("after %d rounds the pause is %v, want half to all of %v", rounds, d, most)
			}
		}
	}
}

// A proxy that is about to end may say bye to everybody who comes.
func TestByeRightAfterALoginIsNotAnsweredAtOnce(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, func(s *Stream) {
		s.pace.settled, s.pace.firstPause, s.pace.longestPause = time.Hour, time.Hour, time.Hour
	}, proxy.address())
	f := proxy.accept()
	f.login()
	s.wantEvent(Connected, proxy)
	f.write("bye\n")
	f.wantGone()
	s.wantEvent(Lost, proxy)
	proxy.wantNobody()
}
