package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/internal/proctest"
	"multichat/internal/wire"
)

// chatServer is a server: real gossip, a real link behind a relay, and answers that the test writes.
type chatServer struct {
	name     string
	number   chat.Seq // the digit at the end of the name; what a send is answered unless the test says otherwise
	log      *proctest.Output
	relay    *relay
	gossip   *cluster.Cluster
	endLinks func()
	leave    func() // ends the gossip in order

	// Set before anything arrives. nil stores, or drops.
	send func(ctx context.Context, m wire.Wrmsg) (chat.Seq, error)
	poll func(client netip.Addr, p wire.Poll, back edge.Pusher)

	// The same for streams. A nil login takes whoever has the password or a ticket; a nil take answers with number.
	login func(st *serverStream) error
	take  func(st *serverStream, call string, ref uint64)

	mu      sync.Mutex
	sent    map[chat.MessageID]int // how often each has arrived
	polled  map[netip.Addr]int     // how many polls of each client have
	last    edge.Caller            // of what arrived last, but for its ticket
	ticket  []byte                 // that ticket
	streams []*serverStream        // in the order of their logins
}

// Send implements edge.Handler.
func (s *chatServer) Send(ctx context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
	s.mu.Lock()
	s.sent[m.ID]++
	s.noteLocked(from)
	s.mu.Unlock()
	if s.send == nil {
		return s.number, nil
	}
	return s.send(ctx, m)
}

// Poll implements edge.Handler.
func (s *chatServer) Poll(from edge.Caller, p wire.Poll, back edge.Pusher) {
	s.mu.Lock()
	s.polled[from.Addr]++
	s.noteLocked(from)
	s.mu.Unlock()
	if s.poll != nil {
		s.poll(from.Addr, p, back)
	}
}

// arrivals is how many sends with this id have arrived.
func (s *chatServer) arrivals(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[chat.MessageID(id)]
}

// polls is how many polls of client have arrived.
func (s *chatServer) polls(client netip.Addr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polled[client]
}

// links is how many links have been made to this server.
func (s *chatServer) links() int { return len(s.log.Lines("link joined")) }

// newServer opens the server's link; nobody knows of it yet.
func newServer(t testing.TB, name string) *chatServer {
	t.Helper()
	s := &chatServer{
		name:   name,
		number: chat.Seq(name[len(name)-1] - '0'),
		leave:  func() {},
		sent:   make(map[chat.MessageID]int),
		polled: make(map[netip.Addr]int),
	}
	var log *slog.Logger
	s.log, log = newLog(t, name)
	identity, err := link.NewIdentity(testKey)
	if err != nil {
		t.Fatal(err)
	}
	links, err := link.Listen("127.0.0.1:0", link.ListenConfig{Identity: identity, Name: name, Handler: s, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s.endLinks = start(t, "the links of "+name, links.Serve)
	s.relay = newRelay(t, links.Addr().String())
	return s
}

// join makes the server known through the gossip of seed.
func (s *chatServer) join(t testing.TB, seed *node) {
	t.Helper()
	gossip, err := cluster.New(cluster.Config{
		Name: s.name, Role: cluster.Server, Bind: "127.0.0.1:0", Join: []string{seed.gossip.Addr().String()}, Key: testKey,
		Link: s.relay.addr.String(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.gossip = gossip
	s.leave = start(t, "the gossip of "+s.name, gossip.Serve)
}

// drain tells everybody that the server is about to leave.
func (s *chatServer) drain(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.gossip.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

// blocker makes sends wait until they are let go.
type blocker struct{ entered, release chan struct{} }

// block makes the server's sends wait, from now on.
func (s *chatServer) block(t testing.TB) *blocker {
	b := &blocker{make(chan struct{}, 1000), make(chan struct{})}
	s.send = func(ctx context.Context, _ wire.Wrmsg) (chat.Seq, error) {
		b.entered <- struct{}{}
		<-b.release
		return s.number, nil
	}
	t.Cleanup(b.letGo)
	return b
}

func (b *blocker) letGo() {
	select {
	case <-b.release:
	default:
		close(b.release)
	}
}
