package link

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// The bodies of frames. A body is its fields one after the other:
//
//	poll     client, user, password, port uint16
//	send     client, id, user, password, to, text
//	push     client, settled uint8, ports (count, uint16 each), messages (count, each: seq int64, id, from,
//	         from name, to, sent as seconds int64 and nanoseconds uint32, text)
//	reply    to a send: 0 and seq int64 · 1, code, reason · 2 (not taken: the server is shutting down)
//	         to a push: 0, taken, port uint16, outcome uint8 · 1, reason
//
// Where nothing else is said a field is a string: its length as an unsigned varint, and its bytes. Counts and "taken"
// are unsigned varints. A client is its address: 0 for none, 4 and four bytes, or 6, sixteen bytes and the zone.

var errMalformed = errors.New("the body of the frame is malformed")

const (
	statusDone     = 0
	statusRefused  = 1
	statusNotTaken = 2

	maxReason = 512 // bytes of a reason that travel; it is a sentence, and replies are never dropped

	minMessage = 8 + 4 + 8 + 4 + 1 // bytes of a message whose strings are all empty
)

func appendPoll(b []byte, client netip.Addr, p wire.Poll) []byte {
	b = appendAddr(b, client)
	b = appendBytes(b, p.User)
	b = appendSecret(b, p.Password)
	return binary.BigEndian.AppendUint16(b, p.Port)
}

// decodePoll gives a poll whose fields are views of b.
func decodePoll(b []byte) (client netip.Addr, p wire.Poll, err error) {
	d := decoder{b: b}
	client = d.addr()
	p = wire.Poll{User: d.bytes(), Password: chat.ViewSecret(d.bytes()), Port: d.uint16()}
	return client, p, d.end()
}

func appendWrmsg(b []byte, client netip.Addr, m wire.Wrmsg) []byte {
	b = appendAddr(b, client)
	b = appendString(b, string(m.ID))
	b = appendString(b, string(m.User))
	b = appendSecret(b, m.Password)
	b = appendString(b, string(m.To))
	return appendBytes(b, m.Text)
}

// decodeWrmsg gives a message whose text is a view of b, and everything else a copy.
func decodeWrmsg(b []byte) (client netip.Addr, m wire.Wrmsg, err error) {
	d := decoder{b: b}
	client = d.addr()
	m = wire.Wrmsg{
		ID:       chat.MessageID(d.string()),
		User:     chat.UserID(d.string()),
		Password: chat.NewSecret(d.string()),
		To:       chat.Mailbox(d.string()),
		Text:     d.bytes(),
	}
	return client, m, d.end()
}

func appendPush(b []byte, p edge.Push) []byte {
	b = appendAddr(b, p.Client)
	settled := byte(0)
	if p.Settled {
		settled = 1
	}
	b = append(b, settled)
	b = binary.AppendUvarint(b, uint64(len(p.Ports)))
	for _, port := range p.Ports {
		b = binary.BigEndian.AppendUint16(b, port)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Messages)))
	for i := range p.Messages {
		b = appendMessage(b, &p.Messages[i])
	}
	return b
}

// decodePush gives a push whose texts are views of b, and everything else copies.
func decodePush(b []byte) (edge.Push, error) {
	d := decoder{b: b}
	p := edge.Push{Client: d.addr(), Settled: d.bool()}
	p.Ports = make([]uint16, d.count(2))
	for i := range p.Ports {
		p.Ports[i] = d.uint16()
	}
	p.Messages = make([]chat.Message, d.count(minMessage))
	for i := range p.Messages {
		p.Messages[i] = d.message()
	}
	return p, d.end()
}

func appendMessage(b []byte, m *chat.Message) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(m.Seq))
	b = appendString(b, string(m.ID))
	b = appendString(b, string(m.From))
	b = appendString(b, m.FromName)
	b = appendString(b, string(m.To))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Sent.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Sent.Nanosecond()))
	return appendBytes(b, m.Text)
}

// messageSize is about how many bytes appendMessage appends, and never less.
func messageSize(m *chat.Message) int {
	lengths := 5 * binary.MaxVarintLen32
	return minMessage + lengths + len(m.ID) + len(m.From) + len(m.FromName) + len(m.To) + len(m.Text)
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
		b = appendString(append(b, statusRefused), string(r.refusal.Code))
		return appendReason(b, r.refusal.Reason)
	}
	return binary.BigEndian.AppendUint64(append(b, statusDone), uint64(r.seq))
}

func decodeSendReply(b []byte) (r sendReply, err error) {
	d := decoder{b: b}
	switch d.uint8() {
	case statusDone:
		r.seq = chat.Seq(d.uint64())
	case statusRefused:
		r.refusal = &chat.Error{Code: chat.Code(d.string()), Reason: d.string()}
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

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendSecret(b []byte, s chat.Secret) []byte {
	return s.AppendTo(binary.AppendUvarint(b, uint64(s.Len())))
}

func appendReason(b []byte, s string) []byte {
	return appendString(b, s[:min(len(s), maxReason)])
}

func appendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		ip := a.As4()
		return append(append(b, 4), ip[:]...)
	case a.Is6():
		ip := a.As16()
		return appendString(append(append(b, 6), ip[:]...), a.Zone())
	}
	return append(b, 0)
}

// decoder takes fields off the front of b. After the first field that is not there it is bad, and every further one is
// zero, so that only the end need be checked.
type decoder struct {
	b   []byte
	bad bool
}

// end says whether b was exactly the fields that were taken.
func (d *decoder) end() error {
	if d.bad || len(d.b) > 0 {
		return errMalformed
	}
	return nil
}

// take gives the next n bytes, a view, or nil.
func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	taken := d.b[:n:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bool() bool {
	v := d.uint8()
	d.bad = d.bad || v > 1
	return v == 1
}

// count reads how many elements follow, of at least size bytes each: more than the rest has room for is bad, so that
// nobody allocates for what was only claimed.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)/size) {
		d.bad = true
		return 0
	}
	return int(n)
}

// bytes gives a view.
func (d *decoder) bytes() []byte { return d.take(d.count(1)) }

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) addr() netip.Addr {
	switch d.uint8() {
	case 0:
	case 4:
		if ip := d.take(4); ip != nil {
			return netip.AddrFrom4([4]byte(ip))
		}
	case 6:
		if ip, zone := d.take(16), d.bytes(); !d.bad {
			return netip.AddrFrom16([16]byte(ip)).WithZone(string(zone))
		}
	default:
		d.bad = true
	}
	return netip.Addr{}
}

func (d *decoder) message() chat.Message {
	m := chat.Message{
		Seq:      chat.Seq(d.uint64()),
		ID:       chat.MessageID(d.string()),
		From:     chat.UserID(d.string()),
		FromName: d.string(),
		To:       chat.Mailbox(d.string()),
	}
	seconds, nanos := d.uint64(), d.uint32()
	d.bad = d.bad || nanos >= uint32(time.Second)
	m.Sent = time.Unix(int64(seconds), int64(nanos))
	m.Text = d.bytes()
	return m
}
