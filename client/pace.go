package client

import (
	"math/rand/v2"
	"time"

	"multichat/internal/chat"
)

// pace is how long a stream waits for what. Tests shorten it.
type pace struct {
	login    time.Duration // for the answer to a login, however alive the proxy is
	answer   time.Duration // for any sign of life while something is unanswered; then it pings
	idle     time.Duration // the same while nothing is
	pong     time.Duration // for a sign of life after a ping; then it takes the next proxy
	stray    time.Duration // for a login that was given up to be worked off after all; then replaced means somebody else
	stuck    time.Duration // for the answer to a send from a proxy that is alive; then it takes the next
	farewell time.Duration // for the answer to the last acks
	settled  time.Duration // until a connection counts as good: the pauses after its loss begin anew

	// Pauses between attempts to connect: each time every proxy has been tried they double.
	firstPause, longestPause time.Duration
}

var usualPace = pace{
	login:        12 * time.Second,
	answer:       2 * time.Second,
	idle:         10 * time.Second,
	pong:         2 * time.Second,
	stray:        30 * time.Second,
	stuck:        3 * chat.SendHold,
	farewell:     2 * time.Second,
	settled:      time.Second,
	firstPause:   50 * time.Millisecond,
	longestPause: 2 * time.Second,
}

// pause is how long to wait before the next attempt when all proxies have been tried so many times.
func (p pace) pause(rounds int) time.Duration {
	return jitter(doubled(p.firstPause, rounds, p.longestPause))
}

// Pauses before a send that was answered busy, unavail or unknown is sent again.
const (
	firstRetryPause   = 100 * time.Millisecond
	longestRetryPause = 2 * time.Second
)

// doubled is first doubled so many times, but at most longest.
func doubled(first time.Duration, times int, longest time.Duration) time.Duration {
	for d := first; ; d *= 2 {
		if d >= longest {
			return longest
		}
		if times--; times < 0 {
			return d
		}
	}
}

// jitter is d or up to half less, so that many who wait for the same do not come at once.
func jitter(d time.Duration) time.Duration {
	return d - rand.N(d/2+1)
}

// sooner is the earlier of two times, of which a zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
