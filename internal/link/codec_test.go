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

func TestPollRoundTrip(t *testing.T) {
	for _, addr := range addrs {
		for _, want := range []wire.Poll{{}, aPoll, {User: everyByteButNUL(300), Port: 65535}} {
			client, got, err := decodePoll(appendPoll(nil, addr, want))
			if err != nil || client != addr || !bytes.Equal(got.User, want.User) ||
				!got.Password.Equal(want.Password) || got.Port != want.Port {
				t.Errorf("%v %v: got %v %v, %v", addr, want, client, got, err)
			}
		}
	}
}

func TestWrmsgRoundTrip(t *testing.T) {
	for _, addr := range addrs {
		for _, want := range []wire.Wrmsg{{}, aMessage, {To: "%", Text: everyByteButNUL(chat.MaxText)}} {
			client, got, err := decodeWrmsg(appendWrmsg(nil, addr, want))
			if err != nil || client != addr || got.ID != want.ID || got.User != want.User || got.To != want.To ||
				!got.Password.Equal(want.Password) || !bytes.Equal(got.Text, want.Text) {
				t.Errorf("%v %v: got %v %v, %v", addr, want, client, got, err)
			}
		}
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
	if a.Client != b.Client || a.Settled != b.Settled || !slices.Equal(a.Ports, b.Ports) ||
		len(a.Messages) != len(b.Messages) {
		return false
	}
	for i := range a.Messages {
		x, y := a.Messages[i], b.Messages[i]
		if !x.Sent.Equal(y.Sent) || !bytes.Equal(x.Text, y.Text) {
			return false
		}
		x.Sent, y.Sent, x.Text, y.Text = time.Time{}, time.Time{}, nil, nil
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
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
	poll := func(b []byte) error { _, _, err := decodePoll(b); return err }
	wrmsg := func(b []byte) error { _, _, err := decodeWrmsg(b); return err }
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
		"something behind a poll":          {poll, append(appendPoll(nil, clientAddr, aPoll), 0)},
		"something behind a send":          {wrmsg, append(appendWrmsg(nil, clientAddr, aMessage), 0)},
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
	send := appendWrmsg(nil, addrs[4], aMessage)
	for n := range send {
		if _, _, err := decodeWrmsg(send[:n]); err == nil {
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
	f.Fuzz(func(t *testing.T, body []byte) {
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
	})
}

type fromClient[T any] struct {
	client netip.Addr
	v      T
}

func FuzzPoll(f *testing.F) {
	fuzzBody(f, func(b []byte) (fromClient[wire.Poll], error) {
		client, p, err := decodePoll(b)
		return fromClient[wire.Poll]{client, p}, err
	}, func(p fromClient[wire.Poll]) []byte { return appendPoll(nil, p.client, p.v) },
		appendPoll(nil, clientAddr, aPoll), appendPoll(nil, addrs[4], wire.Poll{}))
}

func FuzzWrmsg(f *testing.F) {
	fuzzBody(f, func(b []byte) (fromClient[wire.Wrmsg], error) {
		client, m, err := decodeWrmsg(b)
		return fromClient[wire.Wrmsg]{client, m}, err
	}, func(m fromClient[wire.Wrmsg]) []byte { return appendWrmsg(nil, m.client, m.v) },
		appendWrmsg(nil, clientAddr, aMessage), appendWrmsg(nil, addrs[3], wire.Wrmsg{}))
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
