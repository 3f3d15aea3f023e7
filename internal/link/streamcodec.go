package link

import (
	"encoding/binary"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// The bodies of the frames of streams; codec.go has the table.

func appendLogin(b []byte, from edge.Caller, l edge.Login) []byte {
	b = appendCaller(b, streamsVersion, &from)
	b = appendString(b, string(l.User))
	b = appendSecret(b, l.Password)
	b = appendString(b, string(l.Device))
	b = binary.BigEndian.AppendUint32(b, l.Nonce)
	b = appendBool(b, l.TakeOver)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Given.Inbox))
	return binary.BigEndian.AppendUint64(b, uint64(l.Given.Broadcast))
}

// decodeLogin gives a caller whose ticket is a view of b, and everything else a copy.
func decodeLogin(b []byte, tickets edge.TicketKeeper) (from edge.Caller, l edge.Login, err error) {
	d := decoder{b: b}
	d.caller(&from, streamsVersion, tickets)
	l = edge.Login{
		User:     chat.UserID(d.string()),
		Password: chat.NewSecret(d.string()),
		Device:   chat.DeviceID(d.string()),
		Nonce:    d.uint32(),
		TakeOver: d.bool(),
		Given:    edge.Places{Inbox: chat.Seq(d.uint64()), Broadcast: chat.Seq(d.uint64())},
	}
	return from, l, d.end()
}

// welcome is the answer to a login: welcome, refused, or not even taken.
type welcome struct {
	refusal  *chat.Error
	notTaken bool
}

func appendWelcome(b []byte, w welcome) []byte {
	switch {
	case w.notTaken:
		return append(b, statusNotTaken)
	case w.refusal != nil:
		return appendRefusal(b, w.refusal)
	}
	return append(b, statusDone)
}

func decodeWelcome(b []byte) (w welcome, err error) {
	d := decoder{b: b}
	switch d.uint8() {
	case statusDone:
	case statusRefused:
		w.refusal = d.refusal()
	case statusNotTaken:
		w.notTaken = true
	default:
		d.bad = true
	}
	return w, d.end()
}

func appendStreamSend(b []byte, ref uint64, m edge.StreamMessage) []byte {
	b = binary.AppendUvarint(b, ref)
	b = appendString(b, string(m.ID))
	b = appendString(b, string(m.To))
	return appendBytes(b, m.Text)
}

// decodeStreamSend gives a message whose text is a view of b, and everything else a copy.
func decodeStreamSend(b []byte) (ref uint64, m edge.StreamMessage, err error) {
	d := decoder{b: b}
	ref = d.uvarint()
	m = edge.StreamMessage{ID: chat.MessageID(d.string()), To: chat.Mailbox(d.string()), Text: d.bytes()}
	return ref, m, d.end()
}

// ack is a call of [edge.Stream]'s Ack.
type ack struct {
	ref     uint64
	mailbox chat.Mailbox
	seq     chat.Seq
}

func appendAck(b []byte, a ack) []byte {
	b = binary.AppendUvarint(b, a.ref)
	b = appendString(b, string(a.mailbox))
	return binary.BigEndian.AppendUint64(b, uint64(a.seq))
}

func decodeAck(b []byte) (ack, error) {
	d := decoder{b: b}
	a := ack{ref: d.uvarint(), mailbox: chat.Mailbox(d.string()), seq: chat.Seq(d.uint64())}
	return a, d.end()
}

// answer is a call of [edge.StreamClient]'s Answer.
type answer struct {
	ref     uint64
	seq     chat.Seq
	refusal *chat.Error
}

func appendAnswer(b []byte, a answer) []byte {
	b = binary.AppendUvarint(b, a.ref)
	if a.refusal != nil {
		return appendRefusal(b, a.refusal)
	}
	return binary.BigEndian.AppendUint64(append(b, statusDone), uint64(a.seq))
}

func decodeAnswer(b []byte) (answer, error) {
	d := decoder{b: b}
	a := answer{ref: d.uvarint()}
	switch d.uint8() {
	case statusDone:
		a.seq = chat.Seq(d.uint64())
	case statusRefused:
		a.refusal = d.refusal()
	default:
		d.bad = true
	}
	return a, d.end()
}

// decodeDeliver gives messages whose texts are views of b, and everything else copies.
func decodeDeliver(b []byte) ([]chat.Message, error) {
	d := decoder{b: b}
	messages := d.messages()
	d.bad = d.bad || len(messages) == 0
	return messages, d.end()
}

// appendEnd appends why a stream ends; nil says that the server is about to.
func appendEnd(b []byte, why *chat.Error) []byte {
	if why != nil {
		return appendRefusal(b, why)
	}
	return append(b, statusDone)
}

func decodeEnd(b []byte) (why *chat.Error, err error) {
	d := decoder{b: b}
	switch d.uint8() {
	case statusDone:
	case statusRefused:
		why = d.refusal()
	default:
		d.bad = true
	}
	return why, d.end()
}

func appendTicket(b []byte, h edge.Holder, ticket chat.Secret) []byte {
	return appendSecret(append(b, h[:]...), ticket)
}

// decodeTicket gives a ticket that is a copy.
func decodeTicket(b []byte) (h edge.Holder, ticket chat.Secret, err error) {
	d := decoder{b: b}
	h = d.holder()
	ticket = chat.NewSecret(d.string())
	return h, ticket, d.end()
}
