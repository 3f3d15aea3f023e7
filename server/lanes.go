package server

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"multichat/internal/chat"
)

// lanes keep what waits for one mailbox in its order, also while the mailbox moves from one shard to another. All of it
// has one writer. When that learns that the mailbox is another shard's, it parks each write as it comes up; what is
// submitted meanwhile parks behind them; and once the writer has none left, all go to the next one together.
type lanes struct {
	locate  func(chat.Mailbox) *writer
	seed    maphash.Seed
	stripes [64]laneStripe
}

type laneStripe struct {
	mu     sync.Mutex
	closed bool
	byBox  map[chat.Mailbox]*lane // only those in which something waits
}

// lane is what waits for one mailbox. Its fields are guarded by its stripe, but for leaving, which writers read.
type lane struct {
	writer  *writer
	waiting int         // writes that the writer has
	leaving atomic.Bool // the mailbox moves
	parked  []*write    // that the writer had
	later   []*write    // that came since; at most maxWrites, and within the writer's room for texts
}

func newLanes(locate func(chat.Mailbox) *writer) *lanes {
	l := &lanes{locate: locate, seed: maphash.MakeSeed()}
	for i := range l.stripes {
		l.stripes[i].byBox = make(map[chat.Mailbox]*lane)
	}
	return l
}

func (l *lanes) stripe(x *write) *laneStripe {
	return &l.stripes[maphash.String(l.seed, string(x.message.To))%uint64(len(l.stripes))]
}

// offer puts a write behind those that wait for its mailbox, or says why not.
func (l *lanes) offer(x *write) *chat.Error {
	s := l.stripe(x)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errNotStored
	}
	x.lane = s.byBox[x.message.To]
	if x.lane == nil {
		x.lane = &lane{writer: l.locate(x.message.To)}
	}
	if !x.lane.takeLocked(x) {
		return errWritesBusy
	}
	s.byBox[x.message.To] = x.lane
	return nil
}

func (ln *lane) takeLocked(x *write) bool {
	if !ln.leaving.Load() {
		return ln.offerLocked(x)
	}
	if len(ln.later) == maxWrites || !ln.writer.texts.take(x.message.Text) {
		return false
	}
	ln.later = append(ln.later, x)
	return true
}

func (ln *lane) offerLocked(x *write) bool {
	if !ln.writer.offer(x) {
		return false
	}
	ln.waiting++
	return true
}

// leave says that a writer is done with a write.
func (l *lanes) leave(x *write) { l.left(x, false) }

// park takes a write from a writer that is not its mailbox's any more.
func (l *lanes) park(x *write) { l.left(x, true) }

func (l *lanes) left(x *write, parks bool) {
	s, ln := l.stripe(x), x.lane
	s.mu.Lock()
	ln.waiting--
	if parks {
		ln.leaving.Store(true)
		ln.parked = append(ln.parked, x)
	}
	var refused []*write
	why := errWritesBusy
	if ln.waiting == 0 {
		if s.closed {
			refused, why = ln.emptyLocked(), errNotStored
		} else {
			refused = ln.moveLocked(l.locate(x.message.To))
		}
	}
	if ln.waiting == 0 {
		delete(s.byBox, x.message.To)
	}
	s.mu.Unlock()
	for _, x := range refused {
		x.refuse(why)
	}
}

// emptyLocked takes out what is parked, in order.
func (ln *lane) emptyLocked() []*write {
	all := append(ln.parked, ln.later...)
	for _, x := range all {
		ln.writer.texts.free(x.message.Text)
	}
	ln.parked, ln.later = nil, nil
	ln.leaving.Store(false)
	return all
}

// moveLocked gives what is parked to the next writer, and returns what that does not take.
func (ln *lane) moveLocked(next *writer) (refused []*write) {
	moving := ln.emptyLocked()
	ln.writer = next
	for _, x := range moving {
		if !ln.offerLocked(x) {
			x.sequence.giveUp() // now: the next writer may be about to store what is behind it
			refused = append(refused, x)
		}
	}
	return refused
}

// close has everything refused that is offered from now on.
func (l *lanes) close() {
	for i := range l.stripes {
		s := &l.stripes[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
}
