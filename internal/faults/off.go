//go:build !faults

package faults

import "time"

// No build but one for tests makes these mistakes.
const (
	DedupeOff        = false
	OKBeforeCommit   = false
	CursorBeforeAck  = false
	PushPastPosition = false
	LinksInClear     = false
)

// Now is the time of day: for what is written down, or compared with what another machine has written. Intervals and
// deadlines are measured by [time.Now], since no clock that is set wrong changes those.
func Now() time.Time { return time.Now() }
