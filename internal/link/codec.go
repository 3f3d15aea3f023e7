package link

import (
	"encoding/binary"
	"errors"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// The bodies of frames. A body is its fields one after the other:
//
//	poll         caller, user, password, port uint16
//	send         caller, id, user, password, to, text
//	push         client, settled uint8, ports (count, uint16 each), messages (count, each: seq int64, id, from,
//	             from name, to, sent as seconds int64 and nanoseconds uint32, text)
//	reply        to a send: 0 and seq int64 · 1, code, reason · 2 (not taken: the server is shutting down)
//	             to a push: 0, taken, port uint16, outcome uint8 · 1, reason
//
// From version 2 on, see streamcodec.go:
//
//	login        caller, user, password, device, nonce uint32, takeover uint8, given (inbox int64, broadcast int64)
//	stream send  ref, id, to, text
//	ack          ref, mailbox, seq int64
//	close        nothing
//	welcome      0 · 1, code, reason · 2 (not taken: the server is shutting down)
//	answer       ref, and then 0 and seq int64 · 1, code, reason
//	deliver      messages, as in a push, but at least one
//	end          0 (the server is about to end) · 1, code, reason
//	ticket       holder (16 bytes), ticket
//
// Where nothing else is said a field is a string: its length as an unsigned varint, and its bytes. Counts, refs and
// "taken" are unsigned varints. A client is its address: 0 for none, 4 and four bytes, or 6, sixteen bytes and the
// zone. A caller is the client alone in version 1; from version 2 on also a ticket, which may be empty, and then 0, or
// 1 and the sixteen bytes of the holder.

var errMalformed = errors.New("the body of the frame is malformed")

const (
	statusDone     = 0
	statusRefused  = 1
	statusNotTaken = 2

	maxReason = 512 // bytes of a reason that travel; it is a sentence, and replies are never dropped

	minMessage = 8 + 4 + 8 + 4 + 1 // bytes of a message whose strings are all empty
)

// appendPoll, and decodePoll too, are given pointers because polls are many, and copying them would cost as much as the
// encoding.
func appendPoll(b []byte, version uint16, from *edge.Caller, p *wire.Poll) []byte {
	b = appendCaller(b, version, from)
	b = appendBytes(b, p.User)
	b = appendSecret(b, p.Password)
	return binary.BigEndian.AppendUint16(b, p.Port)
}

// decodePoll fills in a caller and a poll whose fields are views of b.
func decodePoll(b []byte, version uint16, tickets edge.TicketKeeper, from *edge.Caller, p *wire.Poll) error {
	d := decoder{b: b}
	d.caller(from, version, tickets)
	p.User = d.bytes()
	p.Password = chat.ViewSecret(d.bytes())
	p.Port = d.uint16()
	return d.end()
}

func appendWrmsg(b []byte, version uint16, from edge.Caller, m wire.Wrmsg) []byte {
	b = appendCaller(b, version, &from)
	b = appendString(b, string(m.ID))
	b = appendString(b, string(m.User))
	b = appendSecret(b, m.Password)
	b = appendString(b, string(m.To))
	return appendBytes(b, m.Text)
}

// decodeWrmsg gives a message whose text and a caller whose ticket are views of b, and everything else a copy.
func decodeWrmsg(
	b []byte, version uint16, tickets edge.TicketKeeper,
) (from edge.Caller, m wire.Wrmsg, err error) {
	d := decoder{b: b}
	d.caller(&from, version, tickets)
	m = wire.Wrmsg{
		ID:       chat.MessageID(d.string()),
		User:     chat.UserID(d.string()),
		Password: chat.NewSecret(d.string()),
		To:       chat.Mailbox(d.string()),
		Text:     d.bytes(),
	}
	return from, m, d.end()
}

func appendPush(b []byte, p edge.Push) []byte {
	b = appendAddr(b, p.Client)
	b = appendBool(b, p.Settled)
	b = binary.AppendUvarint(b, uint64(len(p.Ports)))
	for _, port := range p.Ports {
		b = binary.BigEndian.AppendUint16(b, port)
	}
	return appendMessages(b, p.Messages)
}

// decodePush gives a push whose texts are views of b, and everything else copies.
func decodePush(b []byte) (edge.Push, error) {
	d := decoder{b: b}
	p := edge.Push{Client: d.addr(), Settled: d.bool()}
	p.Ports = make([]uint16, d.count(2))
	for i := range p.Ports {
		p.Ports[i] = d.uint16()
	}
	p.Messages = d.messages()
	return p, d.end()
}

// sendReply is the answer to a send: refused, or not even taken, or stored at seq.
type sendReply struct {
	seq      chat.Seq
	refusal  *chat.Error
	notTaken bool
}

func appendSendReply(b []byte, r sendReply) []byte {
	switch {
	case r.notTaken:
		return append(b, statusNotTaken)
	case r.refusal != nil:
		return appendRefusal(b, r.refusal)
	}
	return binary.BigEndian.AppendUint64(append(b, statusDone), uint64(r.seq))
}

func decodeSendReply(b []byte) (r sendReply, err error) {
	d := decoder{b: b}
	switch d.uint8() {
	case statusDone:
		r.seq = chat.Seq(d.uint64())
	case statusRefused:
		r.refusal = d.refusal()
	case statusNotTaken:
		r.notTaken = true
	default:
		d.bad = true
	}
	return r, d.end()
}

// pushReply is the answer to a push: a receipt, or why there is none.
type pushReply struct {
	receipt edge.Receipt
	failed  bool
	reason  string
}

func appendPushReply(b []byte, r pushReply) []byte {
	if r.failed {
		return appendReason(append(b, statusRefused), r.reason)
	}
	b = binary.AppendUvarint(append(b, statusDone), uint64(r.receipt.Taken))
	b = binary.BigEndian.AppendUint16(b, r.receipt.Port)
	return append(b, byte(r.receipt.Outcome))
}

// decodePushReply refuses a receipt for more than the sent messages.
func decodePushReply(b []byte, sent int) (r pushReply, err error) {
	d := decoder{b: b}
	switch d.uint8() {
	case statusDone:
		taken := d.uvarint()
		d.bad = d.bad || taken > uint64(sent)
		r.receipt = edge.Receipt{Taken: int(taken), Port: d.uint16(), Outcome: edge.Outcome(d.uint8())}
	case statusRefused:
		r.failed, r.reason = true, d.string()
	default:
		d.bad = true
	}
	return r, d.end()
}
