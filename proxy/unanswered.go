package proxy

import (
	"cmp"
	"slices"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// call is a send, or an ack with a ref: what a server answers.
type call struct {
	ref     uint64
	message edge.StreamMessage // of a send
	ack     *ack               // nil for a send

	due    time.Time // when it is answered without a server
	handed int       // how many servers it was handed to
}

// ack says how far a mailbox was read.
type ack struct {
	mailbox chat.Mailbox
	seq     chat.Seq
}

// handTo hands the call to a server.
func (c *call) handTo(out edge.Stream) {
	if c.ack != nil {
		out.Ack(c.ref, c.ack.mailbox, c.ack.seq)
		return
	}
	out.Send(c.ref, c.message)
}

// lost is the answer to a call that no server will answer.
func (c *call) lost() *chat.Error {
	if c.handed == 0 {
		return chat.Errorf(chat.CodeUnavail, "no server could be reached; nothing was stored, send again later")
	}
	return chat.Errorf(chat.CodeUnknown, "the server broke off and no other has answered; "+
		"it may have been stored: send again with the same id")
}

// unanswered are a stream's calls that wait for their answer, in the order in which they came, and what it has
// acknowledged. The edge bounds them in number and bytes. The stream's lock guards them.
type unanswered struct {
	calls []*call // by ref, which grows
	next  int     // index of the first that the present server was not handed

	// The newest acks without a ref: nobody answers them, so each is said again to every server. One place is for Everyone
	// and one for the user's own mailbox; another user's goes there too, to be refused, at its sender's own expense.
	acks [2]plainAck
}

type plainAck struct {
	ack
	due bool // the present server was not told
}

// What a stream keeps room for when nothing is unanswered.
const idleCalls = 16

func (u *unanswered) add(c *call) { u.calls = append(u.calls, c) }

func (u *unanswered) acknowledge(a ack) {
	i := 0
	if a.mailbox == chat.Everyone {
		i = 1
	}
	u.acks[i] = plainAck{a, true}
}

// nextAck is an ack that the present server is to be told; it counts as told from now on.
func (u *unanswered) nextAck() (a ack, ok bool) {
	for i := range u.acks {
		if u.acks[i].due {
			u.acks[i].due = false
			return u.acks[i].ack, true
		}
	}
	return ack{}, false
}

// nextCall is the next call that the present server is to be handed, or nil; it counts as handed from now on.
func (u *unanswered) nextCall() *call {
	if u.next == len(u.calls) {
		return nil
	}
	c := u.calls[u.next]
	u.next++
	c.handed++
	return c
}

// rewind makes all of it due again, for another server.
func (u *unanswered) rewind() {
	u.next = 0
	for i := range u.acks {
		u.acks[i].due = u.acks[i].mailbox != ""
	}
}

// take removes the call with this ref; nil if it was answered before.
func (u *unanswered) take(ref uint64) *call {
	i, found := slices.BinarySearchFunc(u.calls, ref, func(c *call, ref uint64) int {
		return cmp.Compare(c.ref, ref)
	})
	if !found {
		return nil
	}
	c := u.calls[i]
	u.remove(i, i+1)
	return c
}

// takeOverdue removes what is due by now: the oldest calls.
func (u *unanswered) takeOverdue(now time.Time) []*call {
	n := 0
	for n < len(u.calls) && !u.calls[n].due.After(now) {
		n++
	}
	late := slices.Clone(u.calls[:n])
	u.remove(0, n)
	return late
}

// takeWorn removes what was handed to servers so often that no further one is to get it: the oldest calls, too, since
// each server is handed all of them in order.
func (u *unanswered) takeWorn() []*call {
	n := 0
	for n < len(u.calls) && u.calls[n].handed > maxResends {
		n++
	}
	worn := slices.Clone(u.calls[:n])
	u.remove(0, n)
	return worn
}

// takeAll removes all.
func (u *unanswered) takeAll() []*call {
	all := u.calls
	*u = unanswered{}
	return all
}

// remove removes the calls from i to j.
func (u *unanswered) remove(i, j int) {
	u.calls = slices.Delete(u.calls, i, j)
	u.next -= max(0, min(u.next, j)-i)
	if len(u.calls) == 0 && cap(u.calls) > idleCalls {
		u.calls = nil
	}
}
