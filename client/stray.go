package client

import (
	"errors"
	"slices"
	"time"
)

// maxStrays is how many logins are remembered as strays; one more, and the oldest is forgotten. The pauses between
// attempts let through about as many within pace.stray.
const maxStrays = 32

// errOwnLogin says that a stream was replaced, but most likely by itself.
var errOwnLogin = errors.New("a login that this client had given up seems to have taken over late")

// strays are logins that were given up before an answer was seen. The system may still work one off, when a proxy was
// paused or a shard slow, and that takes the device from the stream that the client has opened elsewhere meanwhile.
// They belong to the line that is; lines follow one another, so there is no lock.
type strays struct {
	since []time.Time // when each was given up, the oldest first
}

func (s *strays) add(now time.Time) {
	if len(s.since) == maxStrays {
		s.since = slices.Delete(s.since, 0, 1)
	}
	s.since = append(s.since, now)
}

// blame says whether a login that was given up no earlier than oldest may have replaced the stream, and forgets that one:
// each takes over once. Were it blamed twice, two readers of one device could replace each other for ever.
func (s *strays) blame(oldest time.Time) bool {
	s.since = slices.DeleteFunc(s.since, func(t time.Time) bool { return t.Before(oldest) })
	if len(s.since) == 0 {
		return false
	}
	s.since = slices.Delete(s.since, 0, 1)
	return true
}
