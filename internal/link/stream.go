package link

import (
	"sync"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// maxKept is how many bytes of deliveries, as they are in frames, are kept for a client that has no room for them;
// beyond, its stream ends as slow. A server gives less than that ahead of the client's acks.
const maxKept = 1 << 20

// proxyStream is a proxy's end of a stream. It implements [edge.Stream].
type proxyStream struct {
	c       *Conn
	id      uint64
	client  edge.StreamClient
	welcome chan welcome // one slot: the answer to the login
	entered bool         // it was answered; the table's lock guards it

	mu     sync.Mutex // held where a frame is queued, so that none follows the last
	closed bool       // nothing is said anymore, in either direction

	// What found no room, until the next tick: refusals of sends and of acks with a ref, bounded by what the sender
	// leaves unanswered; and the newest ack without a ref of Everyone, and of the other mailbox.
	refused []answer
	owed    [2]ack

	// calls is held while client is called, and so the calls come one after another. It is taken before mu, and by no
	// method of edge.Stream.
	calls     sync.Mutex
	kept      []delivery // what client had no room for, until a tick
	keptBytes int
}

// delivery is messages, and the length of the frame's body that they came in.
type delivery struct {
	messages []chat.Message
	bytes    int
}

// Send implements [edge.Stream]. After the link has ended nothing is answered: End says it all.
func (st *proxyStream) Send(ref uint64, m edge.StreamMessage) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	err := st.c.s.out.add(kindStreamSend, st.id, func(b []byte) []byte { return appendStreamSend(b, ref, m) })
	if err == errFull {
		st.c.counters.SendsBusy.Add(1)
	}
	st.checkLocked(ref, err)
}

// Ack implements [edge.Stream]. One without a ref is never refused: when there is no room, the newest goes later.
func (st *proxyStream) Ack(ref uint64, mailbox chat.Mailbox, seq chat.Seq) {
	a := ack{ref, mailbox, seq}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	if err := st.addAckLocked(a); ref != 0 || err != errFull {
		st.checkLocked(ref, err)
		return
	}
	st.oweLocked(a)
	st.c.streams.stick(st)
}

func (st *proxyStream) addAckLocked(a ack) error {
	return st.c.s.out.add(kindAck, st.id, func(b []byte) []byte { return appendAck(b, a) })
}

// oweLocked keeps an ack, unless it says less than the one of that mailbox which is kept.
func (st *proxyStream) oweLocked(a ack) {
	owed := &st.owed[0]
	if a.mailbox == chat.Everyone {
		owed = &st.owed[1]
	}
	if owed.mailbox != a.mailbox || owed.seq < a.seq {
		*owed = a
	}
}

// payLocked sends the acks that are owed, and is false if it could not.
func (st *proxyStream) payLocked() bool {
	for i, a := range st.owed {
		if a.mailbox == "" {
			continue
		}
		if st.addAckLocked(a) == errFull {
			return false
		}
		st.owed[i] = ack{}
	}
	return true
}

// checkLocked has what could not be queued answered, by the next tick: client is never called from here.
func (st *proxyStream) checkLocked(ref uint64, err error) {
	switch err {
	case errFull:
		busy := chat.Errorf(chat.CodeBusy, "too much is waiting for %s; try again later", st.c.s.peer)
		st.refused = append(st.refused, answer{ref: ref, refusal: busy})
	case errFrameTooLarge:
		large := chat.Errorf(chat.CodeTooLarge, "the message does not fit into a frame of a link")
		st.refused = append(st.refused, answer{ref: ref, refusal: large})
	default:
		return
	}
	st.c.streams.stick(st)
}

// Close implements [edge.Stream].
func (st *proxyStream) Close() { st.finish() }

// finish ends the stream at this end, and has the server close it at its own. It is false if that was done before.
func (st *proxyStream) finish() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return false
	}
	st.payLocked() // what cannot be paid now was not acknowledged, and comes again
	st.closed, st.refused = true, nil
	st.c.streams.remove(st)
	st.c.s.insist(kindClose, st.id, noBody)
	return true
}

// over says that client is not to be told anything anymore.
func (st *proxyStream) over() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.closed
}

func (st *proxyStream) answer(a answer) {
	st.calls.Lock()
	defer st.calls.Unlock()
	if !st.over() {
		st.client.Answer(a.ref, a.seq, a.refusal)
	}
}

// end ends the stream because the server, or the link, did. It is closed by that, whether or not client does so too.
func (st *proxyStream) end(why error) {
	st.calls.Lock()
	defer st.calls.Unlock()
	st.endCalling(why)
}

// endCalling is end with calls held.
func (st *proxyStream) endCalling(why error) {
	st.kept, st.keptBytes = nil, 0
	if st.finish() {
		st.client.End(why)
	}
}

func (st *proxyStream) deliver(d delivery) {
	st.calls.Lock()
	defer st.calls.Unlock()
	st.kept = append(st.kept, d)
	st.keptBytes += d.bytes
	if len(st.kept) == 1 { // else what came before waits for a tick
		st.offerCalling()
	}
	if st.keptBytes > maxKept {
		st.endCalling(chat.Errorf(chat.CodeSlow, "the client does not read what is delivered"))
	}
}

// offerCalling gives client what is kept for it, until it has no room. It is called with calls held.
func (st *proxyStream) offerCalling() {
	for len(st.kept) > 0 && !st.over() {
		if !st.client.Deliver(st.kept[0].messages) {
			st.c.streams.stick(st)
			return
		}
		st.keptBytes -= st.kept[0].bytes
		st.kept[0] = delivery{}
		st.kept = st.kept[1:]
	}
	st.kept, st.keptBytes = nil, 0
}

// retry tries again what found no room.
func (st *proxyStream) retry() {
	for _, a := range st.settle() {
		st.answer(a)
	}
	st.calls.Lock()
	defer st.calls.Unlock()
	st.offerCalling()
}

// settle sends the acks that are owed, and takes the answers that are due.
func (st *proxyStream) settle() (refused []answer) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.closed && !st.payLocked() {
		st.c.streams.stick(st)
	}
	refused, st.refused = st.refused, nil
	return refused
}
