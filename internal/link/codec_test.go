package link

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

var addrs = []netip.Addr{
	{},
	netip.MustParseAddr("127.0.0.11"),
	netip.MustParseAddr("::1"),
	netip.MustParseAddr("::ffff:127.0.0.11"), // not the same as 127.0.0.11, and stays so
	netip.MustParseAddr("fe80::1%eth0"),
}

func everyByteButNUL(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i%255) + 1
	}
	return b
}

func message(seq chat.Seq, text []byte) chat.Message {
	return chat.Message{
		Seq: seq, ID: "id-1", From: "alice", FromName: "Ålice", To: chat.Everyone,
		Sent: time.Unix(1700000000, 123456789), Text: text,
	}
}

// callers is what may travel of a caller in a version: in the first, the address alone.
func callers(version uint16) (callers []edge.Caller) {
	for _, addr := range addrs {
		callers = append(callers, edge.Caller{Addr: addr})
	}
	if version < streamsVersion {
		return callers
	}
	return append(callers,
		edge.Caller{Addr: clientAddr, Ticket: chat.NewSecret("ticket")},
		edge.Caller{Addr: clientAddr, Holder: aHolder},
		edge.Caller{Addr: addrs[4], Ticket: chat.NewSecret(string(everyByteButNUL(64))), Holder: aHolder})
}

func sameCaller(a, b edge.Caller) bool {
	return a.Addr == b.Addr && a.Ticket.Equal(b.Ticket) && a.Holder == b.Holder && a.Tickets == b.Tickets
}

func pollOf(b []byte, version uint16) (from edge.Caller, p wire.Poll, err error) {
	err = decodePoll(b, version, nil, &from, &p)
	return from, p, err
}

func TestPollRoundTrip(t *testing.T) {
	for v := uint16(oldestVersion); v <= version; v++ {
		for _, caller := range callers(v) {
			for _, want := range []wire.Poll{{}, aPoll, {User: everyByteButNUL(300), Port: 65535}} {
				from, got, err := pollOf(appendPoll(nil, v, &caller, &want), v)
				if err != nil || !sameCaller(from, caller) || !bytes.Equal(got.User, want.User) ||
					!got.Password.Equal(want.Password) || got.Port != want.Port {
					t.Errorf("version %d, %v %v: got %v %v, %v", v, caller, want, from, got, err)
				}
			}
		}
	}
}

func TestWrmsgRoundTrip(t *testing.T) {
	for v := uint16(oldestVersion); v <= version; v++ {
		for _, caller := range callers(v) {
			for _, want := range []wire.Wrmsg{{}, aMessage, {To: "%", Text: everyByteButNUL(chat.MaxText)}} {
				from, got, err := decodeWrmsg(appendWrmsg(nil, v, caller, want), v, nil)
				if err != nil || !sameCaller(from, caller) || got.ID != want.ID || got.User != want.User ||
					got.To != want.To || !got.Password.Equal(want.Password) || !bytes.Equal(got.Text, want.Text) {
					t.Errorf("version %d, %v %v: got %v %v, %v", v, caller, want, from, got, err)
				}
			}
		}
	}
}

// The nodes of the release before send and read exactly this.
func TestVersion1IsAsItWas(t *testing.T) {
	from := edge.Caller{Addr: clientAddr, Ticket: chat.NewSecret("ticket"), Holder: aHolder}
	poll := "\x04\x7f\x00\x00\x0b" + "\x05alice" + "\x06secret" + "\x11\x27"
	if got := appendPoll(nil, 1, &from, &aPoll); string(got) != poll {
		t.Errorf("a poll is %q, want %q", got, poll)
	}
	send := "\x04\x7f\x00\x00\x0b" + "\x02m1" + "\x05alice" + "\x06secret" + "\x03bob" + "\x05hello"
	if got := appendWrmsg(nil, 1, from, aMessage); string(got) != send {
		t.Errorf("a send is %q, want %q", got, send)
	}
}

func TestCallerWithoutATicketCostsTwoBytes(t *testing.T) {
	before, now := appendPoll(nil, 1, &aCaller, &aPoll), appendPoll(nil, version, &aCaller, &aPoll)
	if len(now) != len(before)+2 {
		t.Errorf("a poll has %d bytes, and had %d in version 1", len(now), len(before))
	}
}

func TestPushRoundTrip(t *testing.T) {
	two := []chat.Message{message(1, []byte("a")), message(9, everyByteButNUL(chat.MaxText))}
	for _, addr := range addrs {
		for name, want := range map[string]edge.Push{
			"nothing":  {},
			"unknown":  {Ports: []uint16{4391, 10001}, Messages: []chat.Message{message(1, nil)}},
			"settled":  {Ports: []uint16{10001}, Settled: true, Messages: two},
			"no time":  {Messages: []chat.Message{{}}},
			"negative": {Messages: []chat.Message{{Seq: -1, Sent: time.Unix(-1, 999999999)}}},
		} {
			want.Client = addr
			got, err := decodePush(appendPush(nil, want))
			if err != nil || !samePush(got, want) {
				t.Errorf("%s to %v: got %v, %v", name, addr, got, err)
			}
		}
	}
}

func samePush(a, b edge.Push) bool {
	return a.Client == b.Client && a.Settled == b.Settled && slices.Equal(a.Ports, b.Ports) &&
		slices.EqualFunc(a.Messages, b.Messages, sameMessage)
}

func sameMessage(a, b chat.Message) bool {
	if !a.Sent.Equal(b.Sent) || !bytes.Equal(a.Text, b.Text) {
		return false
	}
	a.Sent, b.Sent, a.Text, b.Text = time.Time{}, time.Time{}, nil, nil
	return reflect.DeepEqual(a, b)
}

func sameLogin(a, b edge.Login) bool {
	if !a.Password.Equal(b.Password) {
		return false
	}
	a.Password = b.Password
	return a == b
}

func TestReplyRoundTrip(t *testing.T) {
	for name, want := range map[string]sendReply{
		"stored":    {seq: 1<<63 - 1},
		"refused":   {refusal: &chat.Error{Code: chat.CodeNoUser, Reason: "there is no user zoe"}},
		"not taken": {notTaken: true},
	} {
		if got, err := decodeSendReply(appendSendReply(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]pushReply{
		"nothing": {receipt: edge.Receipt{Outcome: edge.PushBusy}},
		"some":    {receipt: edge.Receipt{Taken: 7, Port: 10001, Outcome: edge.PushBroken}},
		"failed":  {failed: true, reason: "no route"},
	} {
		if got, err := decodePushReply(appendPushReply(nil, want), 7); err != nil || got != want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestReasonIsBounded(t *testing.T) {
	b := appendSendReply(nil, sendReply{refusal: &chat.Error{Code: chat.CodeBusy, Reason: strings.Repeat("x", 1<<20)}})
	if got, err := decodeSendReply(b); err != nil || len(got.refusal.Reason) != maxReason {
		t.Errorf("got %d bytes of reason, %v; want %d", len(got.refusal.Reason), err, maxReason)
	}
}

func TestDecodersRefuse(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<40)
	poll := func(b []byte) error { _, _, err := pollOf(b, version); return err }
	wrmsg := func(b []byte) error { _, _, err := decodeWrmsg(b, version, nil); return err }
	push := func(b []byte) error { _, err := decodePush(b); return err }
	reply := func(b []byte) error { _, err := decodeSendReply(b); return err }
	receipt := func(b []byte) error { _, err := decodePushReply(b, 3); return err }
	for name, c := range map[string]struct {
		decode func([]byte) error
		body   []byte
	}{
		"an address of an unknown family":  {poll, []byte("\x05")},
		"a string longer than the body":    {poll, append([]byte{0}, huge...)},
		"a length that never ends":         {poll, append([]byte{0}, bytes.Repeat([]byte{0xff}, 20)...)},
		"something behind a poll":          {poll, append(appendPoll(nil, version, &aCaller, &aPoll), 0)},
		"something behind a send":          {wrmsg, append(appendWrmsg(nil, version, aCaller, aMessage), 0)},
		"something behind a push":          {push, append(appendPush(nil, edge.Push{}), 0)},
		"more ports than there is room":    {push, append([]byte{0, 0}, huge...)},
		"more messages than there is room": {push, append([]byte{0, 0, 0}, huge...)},
		"a flag that is neither":           {push, []byte{0, 2, 0, 0}},
		"a reply of an unknown status":     {reply, []byte{9}},
		"an empty reply":                   {reply, nil},
		"a receipt for more than was sent": {receipt, appendPushReply(nil, pushReply{receipt: edge.Receipt{Taken: 4}})},
		"a receipt of an unknown status":   {receipt, []byte{2}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.decode(c.body); err != errMalformed {
				t.Errorf("got %v, want %v", err, errMalformed)
			}
		})
	}
}

func TestEveryPrefixIsRefused(t *testing.T) {
	one := []chat.Message{message(1, []byte("x"))}
	push := appendPush(nil, edge.Push{Client: addrs[4], Ports: []uint16{1, 2}, Messages: one})
	for n := range push {
		if _, err := decodePush(push[:n]); err == nil {
			t.Errorf("a push cut to %d of %d bytes was taken", n, len(push))
		}
	}
	send := appendWrmsg(nil, version, edge.Caller{Addr: addrs[4], Holder: aHolder}, aMessage)
	for n := range send {
		if _, _, err := decodeWrmsg(send[:n], version, nil); err == nil {
			t.Errorf("a send cut to %d of %d bytes was taken", n, len(send))
		}
	}
}

func TestMessageSizeIsAnUpperBound(t *testing.T) {
	for _, m := range []chat.Message{{}, message(1, nil), message(1, everyByteButNUL(chat.MaxText))} {
		if size, real := messageSize(&m), len(appendMessage(nil, &m)); real > size {
			t.Errorf("%d bytes were appended, of which messageSize told %d", real, size)
		}
	}
}

// fuzzBody checks that what a decoder takes is encoded to something that decodes to the same.
func fuzzBody[T any](f *testing.F, decode func([]byte) (T, error), encode func(T) []byte, seeds ...[]byte) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body []byte) { sameAgain(t, body, decode, encode) })
}

func sameAgain[T any](t *testing.T, body []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	v, err := decode(body)
	if err != nil {
		return
	}
	once := encode(v)
	again, err := decode(once)
	if err != nil {
		t.Fatalf("decoding what was encoded: %v", err)
	}
	if twice := encode(again); !bytes.Equal(once, twice) {
		t.Fatalf("encoded %x, decoded and encoded again %x", once, twice)
	}
}

type fromCaller[T any] struct {
	from edge.Caller
	v    T
}

func FuzzPoll(f *testing.F) {
	for v := uint16(oldestVersion); v <= version; v++ {
		for _, caller := range callers(v) {
			f.Add(v, appendPoll(nil, v, &caller, &aPoll))
		}
	}
	f.Fuzz(func(t *testing.T, v uint16, body []byte) {
		sameAgain(t, body, func(b []byte) (fromCaller[wire.Poll], error) {
			from, p, err := pollOf(b, v)
			return fromCaller[wire.Poll]{from, p}, err
		}, func(p fromCaller[wire.Poll]) []byte { return appendPoll(nil, v, &p.from, &p.v) })
	})
}

func FuzzWrmsg(f *testing.F) {
	for v := uint16(oldestVersion); v <= version; v++ {
		for _, caller := range callers(v) {
			f.Add(v, appendWrmsg(nil, v, caller, aMessage))
		}
	}
	f.Fuzz(func(t *testing.T, v uint16, body []byte) {
		sameAgain(t, body, func(b []byte) (fromCaller[wire.Wrmsg], error) {
			from, m, err := decodeWrmsg(b, v, nil)
			return fromCaller[wire.Wrmsg]{from, m}, err
		}, func(m fromCaller[wire.Wrmsg]) []byte { return appendWrmsg(nil, v, m.from, m.v) })
	})
}

func FuzzPush(f *testing.F) {
	two := []chat.Message{message(1, []byte("x")), {}}
	fuzzBody(f, decodePush, func(p edge.Push) []byte { return appendPush(nil, p) },
		appendPush(nil, edge.Push{Client: addrs[4], Ports: []uint16{1, 2}, Messages: two}))
}

func FuzzSendReply(f *testing.F) {
	fuzzBody(f, decodeSendReply, func(r sendReply) []byte { return appendSendReply(nil, r) },
		[]byte{statusNotTaken}, appendSendReply(nil, sendReply{seq: 5}),
		appendSendReply(nil, sendReply{refusal: &chat.Error{Code: chat.CodeAuth, Reason: "no"}}))
}

func FuzzPushReply(f *testing.F) {
	fuzzBody(f, func(b []byte) (pushReply, error) { return decodePushReply(b, 100) },
		func(r pushReply) []byte { return appendPushReply(nil, r) },
		appendPushReply(nil, pushReply{receipt: edge.Receipt{Taken: 3, Port: 1, Outcome: 2}}),
		appendPushReply(nil, pushReply{failed: true, reason: "no"}))
}
