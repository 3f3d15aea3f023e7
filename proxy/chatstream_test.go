package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// ticketOf is the ticket that this server gives for a user.
func (s *chatServer) ticketOf(user chat.UserID) chat.Secret {
	return chat.NewSecret(fmt.Sprintf("%s's for %s", s.name, user))
}

// noteLocked keeps what a caller was. It does not allocate.
func (s *chatServer) noteLocked(from edge.Caller) {
	s.ticket = from.Ticket.AppendTo(s.ticket[:0])
	s.last = from
}

// caller is that of what arrived last.
func (s *chatServer) caller() edge.Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.last
	from.Ticket = chat.NewSecret(string(s.ticket))
	return from
}

// Login implements edge.Handler. Who comes with a password and without a ticket is given one.
func (s *chatServer) Login(_ context.Context, from edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error) {
	st := &serverStream{server: s, from: from, login: l, client: client}
	s.mu.Lock()
	s.noteLocked(from)
	s.streams = append(s.streams, st)
	s.mu.Unlock()
	if s.login != nil {
		if err := s.login(st); err != nil {
			return nil, err
		}
	} else if !l.Password.Equal(password) && from.Ticket.Len() == 0 {
		return nil, chat.Errorf(chat.CodeAuth, "the password is wrong")
	}
	if from.Ticket.Len() == 0 {
		from.Tickets.KeepTicket(from.Holder, s.ticketOf(l.User))
	}
	return st, nil
}

// logins is how many have arrived.
func (s *chatServer) logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// stream waits for the nth login, from 0.
func (s *chatServer) stream(t testing.TB, n int) *serverStream {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d logins", s.name, n+1), func() bool { return s.logins() > n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[n]
}

// serverStream is a stream as its server sees it.
type serverStream struct {
	server *chatServer
	from   edge.Caller
	login  edge.Login
	client edge.StreamClient

	mu     sync.Mutex
	calls  []string // what arrived, in order
	closed bool
}

func (st *serverStream) note(ref uint64, call string) {
	st.mu.Lock()
	st.calls = append(st.calls, call)
	st.mu.Unlock()
	switch take := st.server.take; {
	case take != nil:
		take(st, call, ref)
	case ref != 0:
		st.client.Answer(ref, st.server.number, nil)
	}
}

// Send implements edge.Stream.
func (st *serverStream) Send(ref uint64, m edge.StreamMessage) {
	st.note(ref, fmt.Sprintf("send %d %s to %s: %s", ref, m.ID, m.To, m.Text))
}

// Ack implements edge.Stream.
func (st *serverStream) Ack(ref uint64, mailbox chat.Mailbox, seq chat.Seq) {
	st.note(ref, fmt.Sprintf("ack %d %s %d", ref, mailbox, seq))
}

// Close implements edge.Stream.
func (st *serverStream) Close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
}

// arrived is what has arrived, in order.
func (st *serverStream) arrived() []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Clone(st.calls)
}

func (st *serverStream) awaitCalls(t testing.TB, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d calls", st.server.name, len(want)), func() bool {
		return len(st.arrived()) >= len(want)
	})
	if got := st.arrived(); !slices.Equal(got, want) {
		t.Fatalf("%s was told\n%q, want\n%q", st.server.name, got, want)
	}
}

func (st *serverStream) awaitClose(t testing.TB) {
	t.Helper()
	eventually(t, st.server.name+" learns that the stream was closed", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.closed
	})
}

// silent makes a server answer nothing on streams.
func silent(s *chatServer) { s.take = func(*serverStream, string, uint64) {} }

// streamClient is a client as its edge stands for it, and whoever uses its stream.
type streamClient struct {
	edge.Stream

	mu    sync.Mutex
	heard []string // what it was told, in order, but for messages
	given map[chat.Mailbox][]chat.Seq
	full  bool // it takes no messages
	ended bool
}

// Answer implements edge.StreamClient.
func (c *streamClient) Answer(ref uint64, seq chat.Seq, refusal *chat.Error) {
	outcome := fmt.Sprint("ok ", seq)
	if refusal != nil {
		outcome = string(refusal.Code)
	}
	c.note(fmt.Sprintf("%d %s", ref, outcome))
}

func (c *streamClient) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		what += " after the end"
	}
	c.heard = append(c.heard, what)
}

// Deliver implements edge.StreamClient.
func (c *streamClient) Deliver(messages []chat.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full {
		return false
	}
	for _, m := range messages {
		c.given[m.To] = append(c.given[m.To], m.Seq)
	}
	return true
}

// setFull makes the client take no messages, or take them again.
func (c *streamClient) setFull(full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full = full
}

// End implements edge.StreamClient.
func (c *streamClient) End(why error) {
	what := "bye"
	if why != nil {
		what = "end " + string(chat.AsError(why).Code)
	}
	c.note(what)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

// told is what the client has heard, in order.
func (c *streamClient) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.heard)
}

// awaitTold waits until the client has heard so much, and checks that it is this.
func (c *streamClient) awaitTold(t testing.TB, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the client has heard %d things", len(want)), func() bool { return len(c.told()) >= len(want) })
	if got := c.told(); !slices.Equal(got, want) {
		t.Fatalf("the client heard %q, want %q", got, want)
	}
}

// seqs are what the client was given of a mailbox, in order.
func (c *streamClient) seqs(m chat.Mailbox) []chat.Seq {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.given[m])
}

func (c *streamClient) awaitSeqs(t testing.TB, m chat.Mailbox, want ...chat.Seq) {
	t.Helper()
	eventually(t, fmt.Sprintf("the client was given %d messages", len(want)), func() bool { return len(c.seqs(m)) >= len(want) })
	if got := c.seqs(m); !slices.Equal(got, want) {
		t.Fatalf("the client was given %v, want %v", got, want)
	}
}

func newStreamClient() *streamClient { return &streamClient{given: make(map[chat.Mailbox][]chat.Seq)} }

// aLogin is alice's, on her phone.
var aLogin = edge.Login{User: "alice", Password: password, Device: "phone", Nonce: 4711}

// open logs in, as aLogin, and closes the stream when the test ends.
func (n *node) open(t testing.TB, from edge.Caller) *streamClient {
	t.Helper()
	c := newStreamClient()
	s, err := n.Login(t.Context(), from, aLogin, c)
	if err != nil {
		t.Fatal(err)
	}
	c.Stream = s
	t.Cleanup(s.Close)
	return c
}

// messageTo is a message whose text is its id.
func messageTo(to chat.Mailbox, id string) edge.StreamMessage {
	return edge.StreamMessage{ID: chat.MessageID(id), To: to, Text: []byte(id)}
}

// mail are messages of a mailbox.
func mail(to chat.Mailbox, seqs ...chat.Seq) (messages []chat.Message) {
	for _, seq := range seqs {
		messages = append(messages, chat.Message{Seq: seq, ID: "m", From: "bob", FromName: "Bob", To: to, Text: []byte("hello")})
	}
	return messages
}

// mute is a server that answers nothing.
type mute struct{}

func (mute) Send(uint64, edge.StreamMessage)    {}
func (mute) Ack(uint64, chat.Mailbox, chat.Seq) {}
func (mute) Close()                             {}

// settled is a stream that a mute server serves.
func (p *Proxy) settled(t testing.TB) (*leg, *streamClient) {
	t.Helper()
	c := newStreamClient()
	s := p.newStream(from(aClient), aLogin, c)
	c.Stream = s
	if err := p.streams.add(s); err != nil {
		t.Fatal(err)
	}
	p.tickets.KeepTicket(s.from.Holder, chat.NewSecret("ticket"))
	l := &leg{stream: s}
	s.hear(l)
	if err := s.settle(l, mute{}); err != nil {
		t.Fatal(err)
	}
	return l, c
}
