package link

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

var (
	aRefusal  = &chat.Error{Code: chat.CodeNoUser, Reason: "there is no user zoe"}
	aTakeover = edge.Login{User: "alice", Device: "phone", Nonce: 1<<20 - 1, TakeOver: true,
		Given: edge.Places{Inbox: 1<<63 - 1, Broadcast: -1}}
)

func TestLoginRoundTrip(t *testing.T) {
	for _, caller := range callers(version) {
		for _, want := range []edge.Login{{}, aLogin, aTakeover} {
			from, got, err := decodeLogin(appendLogin(nil, caller, want), nil)
			if err != nil || !sameCaller(from, caller) || !sameLogin(got, want) {
				t.Errorf("%v %v: got %v %v, %v", caller, want, from, got, err)
			}
		}
	}
}

func TestStreamBodiesRoundTrip(t *testing.T) {
	for _, want := range []welcome{{}, {refusal: aRefusal}, {notTaken: true}} {
		if got, err := decodeWelcome(appendWelcome(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("a welcome %v: got %v, %v", want, got, err)
		}
	}
	for ref, want := range map[uint64]edge.StreamMessage{
		0:         {},
		1:         {ID: "m1", To: "bob", Text: []byte("hello")},
		1<<64 - 1: {To: chat.Everyone, Text: everyByteButNUL(chat.MaxText)},
	} {
		gotRef, got, err := decodeStreamSend(appendStreamSend(nil, ref, want))
		if err != nil || gotRef != ref || got.ID != want.ID || got.To != want.To || !bytes.Equal(got.Text, want.Text) {
			t.Errorf("a send %d %v: got %d %v, %v", ref, want, gotRef, got, err)
		}
	}
	for _, want := range []ack{{}, {1<<64 - 1, "alice", 1<<63 - 1}, {0, chat.Everyone, -1}} {
		if got, err := decodeAck(appendAck(nil, want)); err != nil || got != want {
			t.Errorf("an ack %v: got %v, %v", want, got, err)
		}
	}
	for _, want := range []answer{{}, {ref: 1<<64 - 1, seq: 1<<63 - 1}, {ref: 1, refusal: aRefusal}} {
		if got, err := decodeAnswer(appendAnswer(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("an answer %v: got %v, %v", want, got, err)
		}
	}
	for _, want := range []*chat.Error{nil, aRefusal} {
		if got, err := decodeEnd(appendEnd(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("an end %v: got %v, %v", want, got, err)
		}
	}
	for _, want := range []string{"", "ticket", string(everyByteButNUL(64))} {
		holder, got, err := decodeTicket(appendTicket(nil, aHolder, chat.NewSecret(want)))
		if err != nil || holder != aHolder || got.Reveal() != want {
			t.Errorf("a ticket of %d bytes: got another, %v", len(want), err)
		}
	}
}

func TestDeliverRoundTrip(t *testing.T) {
	for _, want := range [][]chat.Message{
		{{}},
		{message(1, nil)},
		{message(1, []byte("a")), message(9, everyByteButNUL(chat.MaxText))},
	} {
		got, err := decodeDeliver(appendMessages(nil, want))
		if err != nil || !slices.EqualFunc(got, want, sameMessage) {
			t.Errorf("%v: got %v, %v", want, got, err)
		}
	}
}

// body is the body of a frame, and its decoder.
type body struct {
	decode func([]byte) error
	bytes  []byte
}

func loginBody(b []byte) error      { _, _, err := decodeLogin(b, nil); return err }
func welcomeBody(b []byte) error    { _, err := decodeWelcome(b); return err }
func streamSendBody(b []byte) error { _, _, err := decodeStreamSend(b); return err }
func ackBody(b []byte) error        { _, err := decodeAck(b); return err }
func answerBody(b []byte) error     { _, err := decodeAnswer(b); return err }
func deliverBody(b []byte) error    { _, err := decodeDeliver(b); return err }
func endBody(b []byte) error        { _, err := decodeEnd(b); return err }
func ticketBody(b []byte) error     { _, _, err := decodeTicket(b); return err }

// streamBodies are bodies of all frames of streams.
var streamBodies = map[string]body{
	"a login": {loginBody,
		appendLogin(nil, edge.Caller{Addr: addrs[4], Ticket: chat.NewSecret("ticket"), Holder: aHolder}, aTakeover)},
	"a welcome":       {welcomeBody, appendWelcome(nil, welcome{})},
	"a refused login": {welcomeBody, appendWelcome(nil, welcome{refusal: aRefusal})},
	"a send": {streamSendBody,
		appendStreamSend(nil, 300, edge.StreamMessage{ID: "m", To: "bob", Text: []byte("x")})},
	"an ack":           {ackBody, appendAck(nil, ack{300, "alice", 1})},
	"an answer":        {answerBody, appendAnswer(nil, answer{ref: 300, seq: 1})},
	"a refused answer": {answerBody, appendAnswer(nil, answer{ref: 300, refusal: aRefusal})},
	"a delivery":       {deliverBody, appendMessages(nil, []chat.Message{message(1, []byte("x")), message(2, nil)})},
	"an end":           {endBody, appendEnd(nil, aRefusal)},
	"a ticket":         {ticketBody, appendTicket(nil, aHolder, chat.NewSecret("ticket"))},
}

func TestStreamBodiesAreTakenWholeOnly(t *testing.T) {
	for name, c := range streamBodies {
		if err := c.decode(c.bytes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range c.bytes {
			if c.decode(c.bytes[:n]) != errMalformed {
				t.Errorf("%s cut to %d of %d bytes was taken", name, n, len(c.bytes))
			}
		}
		if c.decode(append(bytes.Clone(c.bytes), 0)) != errMalformed {
			t.Errorf("%s with something behind it was taken", name)
		}
	}
}

func TestStreamDecodersRefuse(t *testing.T) {
	for name, c := range map[string]body{
		"a welcome of an unknown status":       {welcomeBody, []byte{3}},
		"an answer of an unknown status":       {answerBody, []byte{1, 2}},
		"an end of an unknown status":          {endBody, []byte{2}},
		"a holder that is neither":             {loginBody, []byte{0, 0, 2}},
		"a delivery of nothing":                {deliverBody, []byte{0}},
		"more messages than there is room for": {deliverBody, binary.AppendUvarint(nil, 1<<40)},
	} {
		if err := c.decode(c.bytes); err != errMalformed {
			t.Errorf("%s: got %v, want %v", name, err, errMalformed)
		}
	}
}

func FuzzLogin(f *testing.F) {
	fuzzBody(f, func(b []byte) (fromCaller[edge.Login], error) {
		from, l, err := decodeLogin(b, nil)
		return fromCaller[edge.Login]{from, l}, err
	}, func(l fromCaller[edge.Login]) []byte { return appendLogin(nil, l.from, l.v) },
		streamBodies["a login"].bytes, appendLogin(nil, aCaller, aLogin))
}

func FuzzWelcome(f *testing.F) {
	fuzzBody(f, decodeWelcome, func(w welcome) []byte { return appendWelcome(nil, w) },
		streamBodies["a welcome"].bytes, streamBodies["a refused login"].bytes, []byte{statusNotTaken})
}

func FuzzStreamSend(f *testing.F) {
	fuzzBody(f, func(b []byte) (sent, error) {
		ref, m, err := decodeStreamSend(b)
		return sent{ref, m}, err
	}, func(s sent) []byte { return appendStreamSend(nil, s.ref, s.m) }, streamBodies["a send"].bytes)
}

func FuzzAck(f *testing.F) {
	fuzzBody(f, decodeAck, func(a ack) []byte { return appendAck(nil, a) }, streamBodies["an ack"].bytes)
}

func FuzzAnswer(f *testing.F) {
	fuzzBody(f, decodeAnswer, func(a answer) []byte { return appendAnswer(nil, a) },
		streamBodies["an answer"].bytes, streamBodies["a refused answer"].bytes)
}

func FuzzDeliver(f *testing.F) {
	fuzzBody(f, decodeDeliver, func(messages []chat.Message) []byte { return appendMessages(nil, messages) },
		streamBodies["a delivery"].bytes)
}

func FuzzEnd(f *testing.F) {
	fuzzBody(f, decodeEnd, func(why *chat.Error) []byte { return appendEnd(nil, why) },
		streamBodies["an end"].bytes, []byte{statusDone})
}

func FuzzTicket(f *testing.F) {
	fuzzBody(f, func(b []byte) (kept, error) {
		holder, ticket, err := decodeTicket(b)
		return kept{holder, ticket.Reveal()}, err
	}, func(k kept) []byte { return appendTicket(nil, k.holder, chat.NewSecret(k.ticket)) },
		streamBodies["a ticket"].bytes)
}
