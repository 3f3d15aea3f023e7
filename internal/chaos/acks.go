package chaos

import (
	"math/rand/v2"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// acks is how a client acknowledges: mostly at once, and else late, out of step, or what there is not.
type acks struct {
	rand   *rand.Rand
	newest map[chat.Mailbox]chat.Seq // taken, and perhaps not acknowledged
	owed   map[chat.Mailbox]bool
}

const (
	tooHighID    = "too-high"
	tooHigh      = chat.Seq(1<<30) * chat.MaxShards // above whatever a shard has given in a run
	misbehaviour = 20                               // one ack in so many is not as it should be
)

// take is what the client says to a message that it has taken.
func (a *acks) take(m chat.Message) []byte {
	before := a.newest[m.To]
	a.newest[m.To] = max(before, m.Seq)
	if a.owed == nil {
		a.owed = make(map[chat.Mailbox]bool)
	}
	switch a.rand.IntN(3 * misbehaviour) {
	case 0: // late
		a.owed[m.To] = true
		return nil
	case 1: // out of step: the one before after this one
		return wire.AppendAck(ack(m.To, m.Seq), wire.Ack{Mailbox: m.To, Seq: before})
	case 2: // what there is not, and then what there is
		frames := wire.AppendAck(nil, wire.Ack{ID: tooHighID, Mailbox: m.To, Seq: m.Seq + tooHigh})
		return wire.AppendAck(frames, wire.Ack{Mailbox: m.To, Seq: m.Seq})
	}
	return ack(m.To, m.Seq)
}

// late is what is acknowledged after all: now and then, so that a message that was the last for a while does not wait for
// ever.
func (a *acks) late() (frames []byte) {
	for mailbox := range a.owed {
		if a.rand.IntN(10) == 0 {
			frames = wire.AppendAck(frames, wire.Ack{Mailbox: mailbox, Seq: a.newest[mailbox]})
			delete(a.owed, mailbox)
		}
	}
	return frames
}

// refused is told that an ack without an id was refused for the moment, which is the only answer that one ever gets. It does not
// say which, so everything is acknowledged again, later.
func (a *acks) refused() {
	if a.owed == nil {
		a.owed = make(map[chat.Mailbox]bool)
	}
	for mailbox := range a.newest {
		a.owed[mailbox] = true
	}
}

func ack(mailbox chat.Mailbox, seq chat.Seq) []byte {
	return wire.AppendAck(nil, wire.Ack{Mailbox: mailbox, Seq: seq})
}
