package link

import (
	"encoding/binary"
	"net/netip"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

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

func appendRefusal(b []byte, e *chat.Error) []byte {
	return appendReason(appendString(append(b, statusRefused), string(e.Code)), e.Reason)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
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

// appendCaller appends of a caller what the other end understands.
func appendCaller(b []byte, version uint16, from *edge.Caller) []byte {
	b = appendAddr(b, from.Addr)
	if version < streamsVersion {
		return b
	}
	b = appendSecret(b, from.Ticket)
	if from.Holder == (edge.Holder{}) {
		return append(b, 0)
	}
	return append(append(b, 1), from.Holder[:]...)
}

func appendMessages(b []byte, messages []chat.Message) []byte {
	b = binary.AppendUvarint(b, uint64(len(messages)))
	for i := range messages {
		b = appendMessage(b, &messages[i])
	}
	return b
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

// caller fills in from, whose ticket is a view. If it has a holder, tickets keeps its tickets.
func (d *decoder) caller(from *edge.Caller, version uint16, tickets edge.TicketKeeper) {
	from.Addr = d.addr()
	if version < streamsVersion {
		return
	}
	from.Ticket = chat.ViewSecret(d.bytes())
	if d.bool() {
		from.Holder, from.Tickets = d.holder(), tickets
	}
}

func (d *decoder) holder() (h edge.Holder) {
	copy(h[:], d.take(len(h)))
	return h
}

func (d *decoder) refusal() *chat.Error {
	return &chat.Error{Code: chat.Code(d.string()), Reason: d.string()}
}

// messages gives messages whose texts are views.
func (d *decoder) messages() []chat.Message {
	messages := make([]chat.Message, d.count(minMessage))
	for i := range messages {
		messages[i] = d.message()
	}
	return messages
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
