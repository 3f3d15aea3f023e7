package client

import (
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// An ack is written when nothing more waits to be taken, and no later than after so many messages or so long.
const (
	maxUnacked = 64
	maxAckWait = 50 * time.Millisecond
)

// inbox knows what was taken of the two mailboxes that a stream reads, and what of that is to be acknowledged.
type inbox struct {
	mu     sync.Mutex
	places [2]place

	owed int       // messages taken, or come again, since acks were written last
	due  time.Time // when acks are to be written; zero while nothing is owed
}

// place is how far one mailbox was read.
type place struct {
	mailbox chat.Mailbox
	ackID   chat.MessageID // of the ack that is answered
	taken   chat.Seq       // everything up to it, by this stream, through whichever connection
	stored  chat.Seq       // the system said that it has stored it
	owed    bool           // taken, or come again, since acks were written last
	asked   chat.Seq       // what the last ack with an id on this connection was for; 0: there was none
}

func newInbox(user chat.UserID) *inbox {
	return &inbox{places: [...]place{
		{mailbox: user.Mailbox(), ackID: "ack-own"},
		{mailbox: chat.Everyone, ackID: "ack-everyone"},
	}}
}

// placeOf is the place in a mailbox, or nil for one that is not read.
func (b *inbox) placeOf(mailbox chat.Mailbox) *place {
	for i := range b.places {
		if b.places[i].mailbox == mailbox {
			return &b.places[i]
		}
	}
	return nil
}

// reads says whether a mailbox is one of the two.
func (b *inbox) reads(mailbox chat.Mailbox) bool { return b.placeOf(mailbox) != nil }

// isNew says whether m was not taken before. m's mailbox is one of the two.
func (b *inbox) isNew(m chat.Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return m.Seq > b.placeOf(m.To).taken
}

// took says that m was taken, now or before; more says whether others wait to be. It reports whether the time when acks
// are due has changed.
func (b *inbox) took(m chat.Message, more bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.placeOf(m.To)
	p.taken = max(p.taken, m.Seq)
	p.owed = true
	b.owed++
	switch {
	case !more || b.owed == maxUnacked:
		b.due = time.Now()
	case b.owed == 1:
		b.due = time.Now().Add(maxAckWait)
	default:
		return false
	}
	return true
}

// appendAcks appends the acks that are due, the newest of each mailbox, and says when the next are; zero: not as things
// are.
func (b *inbox) appendAcks(dst []byte, now time.Time) ([]byte, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due.IsZero() || now.Before(b.due) {
		return dst, b.due
	}
	for i := range b.places {
		if p := &b.places[i]; p.owed {
			dst = wire.AppendAck(dst, wire.Ack{Mailbox: p.mailbox, Seq: p.taken})
			p.owed = false
		}
	}
	b.owed, b.due = 0, time.Time{}
	return dst, time.Time{}
}

// appendLastAcks appends acks that are answered, of what the system has not said to have stored, unless that was asked on
// this connection before.
func (b *inbox) appendLastAcks(dst []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.places {
		if p := &b.places[i]; p.taken > p.stored && p.asked != p.taken {
			dst = wire.AppendAck(dst, wire.Ack{ID: p.ackID, Mailbox: p.mailbox, Seq: p.taken})
			p.asked = p.taken
		}
	}
	return dst
}

// answer takes the answer to one of the last acks, and reports whether id is that of one. A refused one counts as stored:
// there is nothing more to be done.
func (b *inbox) answer(id chat.MessageID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.places {
		if p := &b.places[i]; p.ackID == id {
			p.stored = max(p.stored, p.asked)
			return true
		}
	}
	return false
}

// settled says that the system has said of everything taken that it is stored.
func (b *inbox) settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.places {
		if p.taken > p.stored {
			return false
		}
	}
	return true
}

// lost says that the connection is gone, and perhaps every plain ack that was written to it.
func (b *inbox) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.places {
		p := &b.places[i]
		p.asked = 0
		if p.taken > p.stored {
			p.owed = true
			b.due = time.Now()
		}
	}
}
