package link

import (
	"errors"
	"runtime"
	"sync"
	"time"
)

const (
	// What the writer writes at once. A pong waits behind at most this much, or one larger frame.
	pieceBytes = 64 << 10

	// pollGatherTime is how long polls wait for others. Their clients poll once a second.
	pollGatherTime = time.Millisecond

	// Pings and pongs that wait. There is one ping unanswered at a time; more are waiting only if the other end
	// pings and does not read, and then it has no answer to lose.
	urgentBytes = 16 * (lengthLen + headLen)
)

var (
	errFull   = errors.New("the queue is full")
	errClosed = errors.New("the queue is closed")
)

// outbox gathers frames for one writer. Whatever has gathered while it wrote goes out with its next write. Polls alone do not
// wake it at once: they wait for a moment, for others or for a frame of another kind, so many of them cost one write. Two buffers
// take turns, so that none is allocated once they have grown.
//
// All methods but next may be called from any goroutine, and none of them blocks; next is the writer's.
type outbox struct {
	max int // bytes; see room

	mu     sync.Mutex
	wake   sync.Cond // signalled when there is something for next
	closed bool
	bulk   []byte // gathers frames
	due    bool   // bulk has more than polls, or they have waited for their time
	urgent []byte // gathers pings and pongs

	gathered  *time.Timer // ends the time that polls wait
	gathering bool        // it runs

	writing       []byte // the other bulk buffer
	rest          []byte // what of writing has not been given out yet
	writingUrgent []byte // the other urgent buffer
}

func newOutbox(max int) *outbox {
	o := &outbox{max: max}
	o.wake.L = &o.mu
	o.gathered = time.AfterFunc(time.Hour, o.endGathering)
	o.gathered.Stop()
	return o
}

// room is how many bytes may be waiting when a frame of kind k is still taken. What can be lost with the least harm is
// refused first.
func (o *outbox) room(k kind) int {
	switch k {
	case kindPoll, kindDeliver, kindTicket:
		return o.max / 2
	case kindReply, kindWelcome, kindAnswer, kindEnd, kindClose:
		return 2 * o.max
	}
	return o.max
}

// add queues a frame whose body encode appends. The error is errFull, errClosed or errFrameTooLarge.
func (o *outbox) add(k kind, id uint64, encode func([]byte) []byte) error {
	return o.addParts(k, id, func(b []byte) ([]byte, bool) { return encode(b), false })
}

// addParts queues frames of one kind, all or none. encode appends the body of the next one, and says whether there is
// one more. The error is errFull, errClosed or errFrameTooLarge.
func (o *outbox) addParts(k kind, id uint64, encode func([]byte) (body []byte, more bool)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errClosed
	}
	if len(o.bulk)+len(o.rest) >= o.room(k) {
		return errFull
	}
	b := o.bulk
	for more := true; more; {
		start := len(b)
		b, more = encode(beginFrame(b, k, id))
		if err := endFrame(b, start); err != nil {
			return err
		}
	}
	o.bulk = b
	if k != kindPoll || len(b) >= pieceBytes {
		o.due = true
		o.wake.Signal()
	} else if !o.due && !o.gathering {
		o.gathering = true
		o.gathered.Reset(pollGatherTime)
	}
	return nil
}

// endGathering is the timer's.
func (o *outbox) endGathering() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gathering = false
	if len(o.bulk) > 0 {
		o.due = true
		o.wake.Signal()
	}
}

// addUrgent queues a ping or pong, to be written before everything else.
func (o *outbox) addUrgent(k kind, id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.urgent) >= urgentBytes {
		return
	}
	start := len(o.urgent)
	o.urgent = beginFrame(o.urgent, k, id)
	if err := endFrame(o.urgent, start); err != nil {
		panic("link: a frame without a body is too large: " + err.Error())
	}
	o.wake.Signal()
}

// close ends the queue: nothing more is taken, and next gives what is left.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.due = true
	o.gathered.Stop()
	o.wake.Signal()
}

// next waits for whole frames to write. They are valid until the next call. It is false when the queue is closed and
// empty.
func (o *outbox) next() ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if len(o.urgent) > 0 {
			o.urgent, o.writingUrgent = o.writingUrgent[:0], o.urgent
			return o.writingUrgent, true
		}
		if len(o.rest) == 0 && o.due {
			o.due = false
			o.bulk, o.writing = o.writing[:0], o.bulk
			o.rest = o.writing
		}
		if len(o.rest) > 0 {
			n := wholeFrames(o.rest, pieceBytes)
			piece := o.rest[:n]
			o.rest = o.rest[n:]
			return piece, true
		}
		if o.closed {
			return nil, false
		}
		o.wake.Wait()
		if len(o.urgent) == 0 {
			// Whoever could run as well goes first: under load many of them have a frame too, and one write has them all.
			o.mu.Unlock()
			runtime.Gosched()
			o.mu.Lock()
		}
	}
}
