package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// What an outbox holds at most, and so what is unanswered on a connection: as much as the system takes. A message more is
// refused with ErrOutboxFull.
const (
	maxOutbox      = 1024
	maxOutboxBytes = 1 << 20

	maxWrite = 64 << 10 // bytes after which no further message joins one write
)

var (
	// ErrOutboxFull says that too many messages wait for their answer; the new one was not taken. See [Stream.Room].
	ErrOutboxFull = errors.New("the outbox is full: too many messages wait to be stored")

	// ErrNotSent says that a message was never handed to the system, and will not be.
	ErrNotSent = errors.New("the message was not sent")

	errEnded = errors.New("the stream has ended")
	errCut   = errors.New("the connection was lost before the answer")
)

// outbox holds messages until they are answered for good, through however many connections. Those to one recipient are
// written in the order posted, and again in that order on the next connection.
type outbox struct {
	changed func() // tells the writer that there may be something to write

	mu      sync.Mutex
	queue   []*outgoing // in the order posted
	byID    map[chat.MessageID]*outgoing
	lanes   map[chat.Mailbox]*lane
	bytes   int           // of all frames in the queue
	telling int           // messages that left the queue and whose done has not returned
	pass    int           // number of the last look through the queue
	ended   error         // why no more is taken; nil until the end
	trouble error         // why the last attempt to connect failed; nil while connected
	left    chan struct{} // closed when a message leaves, or has been told of, and then nil; nil too while nobody waits for that
}

func newOutbox(changed func()) *outbox {
	return &outbox{
		changed: changed,
		byID:    make(map[chat.MessageID]*outgoing),
		lanes:   make(map[chat.Mailbox]*lane),
	}
}

// add puts a message at the end of the queue.
func (o *outbox) add(to chat.Mailbox, text []byte, done func(Result, error)) (*outgoing, error) {
	id, err := uuid.NewV7() // ids that begin with the time keep the shards' index cheap
	if err != nil {
		return nil, fmt.Errorf("%w: making its id: %w", ErrNotSent, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended != nil {
		return nil, o.notSentLocked(o.ended)
	}
	if !o.hasRoomLocked(frameRoom + len(to) + len(text)) {
		return nil, ErrOutboxFull
	}
	l := o.lanes[to]
	if l == nil {
		l = &lane{to: to, width: maxOutbox}
		o.lanes[to] = l
	}
	l.waiting++
	m := &outgoing{id: chat.MessageID(id.String()), lane: l, text: slices.Clone(text), done: done}
	o.queue = append(o.queue, m)
	o.byID[m.id] = m
	o.bytes += m.size()
	o.changed()
	return m, nil
}

func (o *outbox) hasRoomLocked(size int) bool {
	return len(o.queue) < maxOutbox && o.bytes+size <= maxOutboxBytes
}

// sends is what the writer learns from a look through the queue.
type sends struct {
	again  time.Time // when a message that waits out a pause may be written; zero: there is none
	oldest time.Time // when the oldest of the unanswered was written; zero: there is none

	retried []Event // of messages that were written now, and not for the first time
}

// appendSends appends what may be written now, up to about maxWrite bytes, and counts it as written.
func (o *outbox) appendSends(dst []byte, now time.Time) ([]byte, sends) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pass++
	var found sends
	for _, m := range o.queue {
		if m.written.IsZero() && len(dst) < maxWrite && o.mayWrite(m, now, &found) {
			dst = wire.AppendSend(dst, wire.Wrmsg{ID: m.id, To: m.lane.to, Text: m.text})
			m.written = now
			m.lane.flying++
			if m.why != nil {
				found.retried = append(found.retried, Event{Kind: Retried, Message: m.id, Err: m.why})
				m.why = nil
			}
		}
		if !m.written.IsZero() {
			found.oldest = sooner(found.oldest, m.written)
		}
	}
	return dst, found
}

// mayWrite says whether it is m's turn. If not, it is nobody's behind m in the lane.
func (o *outbox) mayWrite(m *outgoing, now time.Time, found *sends) bool {
	switch {
	case m.lane.blocked == o.pass:
		return false
	case m.lane.flying >= m.lane.width:
	case now.Before(m.again):
		found.again = sooner(found.again, m.again)
	default:
		return true
	}
	m.lane.blocked = o.pass
	return false
}

// answer takes the system's answer to a send. One that nobody waits for any more is passed over.
func (o *outbox) answer(r wire.Reply, now time.Time) {
	o.mu.Lock()
	m := o.byID[r.ID]
	if m == nil || m.written.IsZero() {
		o.mu.Unlock()
		return
	}
	m.written = time.Time{}
	m.lane.flying--
	if r.Err != nil && passes(r.Err.Code) {
		m.retry(r.Err, now)
		o.mu.Unlock()
		o.changed()
		return
	}
	m.lane.width = min(m.lane.width+1, maxOutbox)
	o.removeLocked(m)
	o.telling++
	o.mu.Unlock()
	o.changed() // the lane may be open for one more
	result, err := m.outcome(r)
	o.finish(m, result, err)
}

// finish tells whoever posted m, and then whoever waits for that.
func (o *outbox) finish(m *outgoing, r Result, err error) {
	if m.done != nil {
		m.done(r, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.telling--
	o.leftLocked()
}

// lost says that the connection is gone: what is unanswered may be stored, and is to be written again.
func (o *outbox) lost() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.queue {
		if !m.written.IsZero() {
			m.written, m.doubt, m.why = time.Time{}, true, errCut
			m.lane.flying--
		}
	}
}

// withdraw takes a message back, because of why, and says what became of it; or it reports false, since the message was
// answered before.
func (o *outbox) withdraw(m *outgoing, why error) (withdrawn bool, fate error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byID[m.id] == nil {
		return false, nil
	}
	fate = o.fateLocked(m, why)
	o.removeLocked(m)
	return true, fate
}

// close ends the outbox: what is in it is done with an error, and nothing more is taken.
func (o *outbox) close(why error) {
	o.mu.Lock()
	o.ended = why
	unanswered := slices.Clone(o.queue)
	fates := make([]error, len(unanswered))
	for i, m := range unanswered {
		fates[i] = o.fateLocked(m, why)
		o.removeLocked(m)
	}
	o.telling += len(unanswered)
	o.leftLocked()
	o.mu.Unlock()
	for i, m := range unanswered {
		o.finish(m, Result{}, fates[i])
	}
}

// fateLocked is what became of a message that will not be answered.
func (o *outbox) fateLocked(m *outgoing, why error) error {
	switch {
	case m.doubt || !m.written.IsZero():
		return maybeStored(why)
	case m.refusal != nil:
		return fmt.Errorf("%w (%w)", m.refusal, why)
	}
	return o.notSentLocked(why)
}

func (o *outbox) notSentLocked(why error) error {
	if o.trouble != nil && !errors.Is(why, ErrUnreachable) {
		// Its codes say nothing about this message, so its words have to do.
		return fmt.Errorf("%w: %w (%v)", ErrNotSent, why, o.trouble)
	}
	return fmt.Errorf("%w: %w", ErrNotSent, why)
}

// setTrouble says why there is no connection, for errors of what could not be sent meanwhile; nil: there is one.
func (o *outbox) setTrouble(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trouble = err
}

func (o *outbox) removeLocked(m *outgoing) {
	i := slices.Index(o.queue, m)
	o.queue = slices.Delete(o.queue, i, i+1)
	delete(o.byID, m.id)
	o.bytes -= m.size()
	if !m.written.IsZero() {
		m.lane.flying--
	}
	if m.lane.waiting--; m.lane.waiting == 0 {
		delete(o.lanes, m.lane.to)
	}
	o.leftLocked()
}

func (o *outbox) leftLocked() {
	if o.left != nil {
		close(o.left)
		o.left = nil
	}
}

// wait waits until enough says so of the outbox.
func (o *outbox) wait(ctx context.Context, enough func() bool) error {
	for {
		o.mu.Lock()
		if enough() {
			o.mu.Unlock()
			return nil
		}
		if o.left == nil {
			o.left = make(chan struct{})
		}
		left := o.left
		o.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
