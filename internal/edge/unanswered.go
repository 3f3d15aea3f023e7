package edge

import "multichat/internal/chat"

// What may be unanswered on one stream. Beyond, a client is answered busy.
const (
	maxCalls     = 1024    // sends, and acks with an id
	maxCallBytes = 1 << 20 // of the sends' texts
)

// call is a send or an ack that is to be answered.
type call struct {
	id   chat.MessageID
	text int // bytes of a send's
	ack  bool
}

// unanswered are a stream's calls by their refs. The zero value is ready for use.
type unanswered struct {
	calls map[uint64]call
	bytes int // of texts
	peak  int // most calls since there were none
}

// add keeps a call, if there is room for it.
func (u *unanswered) add(ref uint64, c call) bool {
	if len(u.calls) >= maxCalls || u.bytes+c.text > maxCallBytes {
		return false
	}
	if u.calls == nil {
		u.calls = make(map[uint64]call)
	}
	u.calls[ref] = c
	u.bytes += c.text
	u.peak = max(u.peak, len(u.calls))
	return true
}

// take forgets a call and returns it, or false if there is none.
func (u *unanswered) take(ref uint64) (call, bool) {
	c, ok := u.calls[ref]
	if !ok {
		return call{}, false
	}
	delete(u.calls, ref)
	u.bytes -= c.text
	if len(u.calls) == 0 && u.peak > 8 {
		u.calls, u.peak = nil, 0 // a map does not shrink, and this stream may be idle for long
	}
	return c, true
}

func (u *unanswered) empty() bool { return len(u.calls) == 0 }
