package server

import (
	"sync/atomic"
	"time"
)

// rate is how often something may happen: burst times at once, and then once in every. The zero rate has no limit.
type rate struct {
	every time.Duration
	burst int
}

func (r rate) limited() bool { return r.burst > 0 }

// bucket holds the tokens that are left of a rate: burst when it is full, as the zero value is. It may be used by many
// goroutines, always with the same rate.
type bucket struct {
	full atomic.Int64 // when it is full again, as Server.clock
}

// take takes a token, or reports false when there is none.
func (b *bucket) take(r rate, now time.Duration) bool {
	for {
		full := b.full.Load()
		next := r.after(full, now)
		if r.limited() && next-now > r.every*time.Duration(r.burst) {
			return false
		}
		if b.full.CompareAndSwap(full, int64(next)) {
			return true
		}
	}
}

// empty says that there is no token to take.
func (b *bucket) empty(r rate, now time.Duration) bool {
	return r.limited() && r.after(b.full.Load(), now)-now > r.every*time.Duration(r.burst)
}

// after is when a bucket is full again once a token more is taken.
func (r rate) after(full int64, now time.Duration) time.Duration {
	return max(time.Duration(full), now) + r.every
}
