package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

func TestAHolderIsOneUserWithOnePassword(t *testing.T) {
	h := newHolders()
	type name struct{ user, password string }
	seen := make(map[edge.Holder]name)
	for _, n := range []name{{"alice", "secret"}, {"alice", "secret2"}, {"alice", ""}, {"bob", "secret"}, {"alices", "ecret"},
		{"alic", "esecret"}, {"", "alicesecret"}, {"alice", strings.Repeat("x", chat.MaxPassword)}} {
		first := h.of([]byte(n.user), chat.NewSecret(n.password))
		if other, ok := seen[first]; ok {
			t.Errorf("%v and %v are one holder", n, other)
		}
		seen[first] = n
		for range 100 { // whichever of the MACs it is
			if again := h.of([]byte(n.user), chat.NewSecret(n.password)); again != first {
				t.Fatalf("%v is two holders", n)
			}
		}
		if newHolders().of([]byte(n.user), chat.NewSecret(n.password)) == first {
			t.Errorf("%v is the same holder in another process", n)
		}
	}
}

func TestAHolderIsAnHMAC(t *testing.T) {
	key := []byte("a key that is not random")
	m := &holderMAC{mac: hmac.New(sha256.New, key)}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("alice\x00secret"))
	if got, want := m.of([]byte("alice"), password), edge.Holder(mac.Sum(nil)[:16]); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

// holder is the nth of many holders of one stripe.
func holder(n uint64) (h edge.Holder) {
	binary.BigEndian.PutUint64(h[8:], n)
	return h
}

func ticket(n uint64) chat.Secret { return chat.NewSecret(fmt.Sprint("ticket ", n)) }

func TestTicketsAreKeptUntilThereAreTooMany(t *testing.T) {
	tickets := newTickets()
	if got := tickets.find(holder(0)); got.Len() > 0 {
		t.Error("a ticket was found that nobody gave")
	}
	const many = 10 * maxTickets / ticketStripes
	for n := range uint64(many) {
		tickets.KeepTicket(holder(n), ticket(n))
		if got := tickets.find(holder(0)); !got.Equal(ticket(0)) {
			t.Fatalf("after %d others, the ticket that is used all the time was forgotten", n)
		}
	}
	kept := 0
	for n := range uint64(many) {
		if got := tickets.stripe(holder(n)).peek(holder(n)); got.Len() > 0 {
			kept++
			if !got.Equal(ticket(n)) {
				t.Fatalf("the ticket of %d is another's", n)
			}
		} else if n > many-generationLimit {
			t.Errorf("ticket %d of %d was forgotten already", n, many)
		}
	}
	if kept > 2*generationLimit {
		t.Errorf("%d tickets are kept, want at most %d", kept, 2*generationLimit)
	}
}

// peek is a look that does not count as use.
func (s *ticketStripe) peek(h edge.Holder) chat.Secret {
	if ticket, ok := s.young[h]; ok {
		return ticket
	}
	return s.old[h]
}

func TestANewTicketTakesTheOldOnesPlace(t *testing.T) {
	tickets := newTickets()
	tickets.KeepTicket(holder(1), ticket(1))
	for n := range uint64(generationLimit) { // it is an old one now
		tickets.KeepTicket(holder(100+n), ticket(100+n))
	}
	tickets.KeepTicket(holder(1), ticket(2))
	if got := tickets.find(holder(1)); !got.Equal(ticket(2)) {
		t.Error("the ticket is not the newest")
	}
	for what, bad := range map[string]string{"empty": "", "too long": strings.Repeat("x", maxTicketBytes+1)} {
		tickets.KeepTicket(holder(1), chat.NewSecret(bad))
		if got := tickets.find(holder(1)); !got.Equal(ticket(2)) {
			t.Errorf("a ticket that is %s took its place", what)
		}
	}
	given := []byte("ticket 3")
	tickets.KeepTicket(holder(1), chat.ViewSecret(given))
	clear(given)
	if got := tickets.find(holder(1)); !got.Equal(ticket(3)) {
		t.Error("what is kept is not a copy")
	}
}

func TestAHeldTicketIsNotForgotten(t *testing.T) {
	tickets := newTickets()
	flood := func() {
		for n := range uint64(3 * generationLimit) {
			tickets.KeepTicket(holder(100+n), ticket(100+n))
		}
	}
	tickets.KeepTicket(holder(1), ticket(1))
	first, second := tickets.hold(holder(1)), tickets.hold(holder(1))
	flood()
	if got := first.newest(); !got.Equal(ticket(1)) {
		t.Error("it was forgotten")
	}
	tickets.KeepTicket(holder(1), ticket(2))
	first.release()
	flood()
	if got := second.newest(); !got.Equal(ticket(2)) {
		t.Error("it is not the newest")
	}
	if got := tickets.find(holder(1)); !got.Equal(ticket(2)) {
		t.Error("a poll does not find it")
	}
	second.release()
	if got := tickets.find(holder(1)); !got.Equal(ticket(2)) {
		t.Error("with the stream's end it is gone, though the user may come back")
	}
	flood()
	if got := tickets.find(holder(1)); got.Len() > 0 {
		t.Error("it is kept though nobody holds it")
	}

	none := tickets.hold(holder(2))
	if got := none.newest(); got.Len() > 0 {
		t.Error("a ticket came from nowhere")
	}
	none.release()
	if s := tickets.stripe(holder(2)); len(s.held) > 0 || s.peek(holder(2)).Len() > 0 {
		t.Error("whoever never had a ticket left something behind")
	}
}

func TestTicketsAreUsedByMany(t *testing.T) {
	tickets, holders := newTickets(), newHolders()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 2000 {
				h := holders.of(fmt.Append(nil, "user-", n%50), password)
				switch (n + i) % 3 {
				case 0:
					tickets.KeepTicket(h, ticket(uint64(n)))
				case 1:
					tickets.find(h)
				case 2:
					held := tickets.hold(h)
					held.newest()
					held.release()
				}
			}
		})
	}
	group.Wait()
	for i := range tickets.stripes {
		if n := len(tickets.stripes[i].held); n > 0 {
			t.Errorf("%d tickets are held by nobody", n)
		}
	}
}

// The first call of a user brings a password alone, and the next ones the ticket that the server gave for it.
func TestTicketsComeAlong(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, nil)
	s := f.servers[0]
	client := from(aClient)
	send := func(m chat.Secret) edge.Caller {
		t.Helper()
		w := message("m1")
		w.Password = m
		if _, err := f.Send(t.Context(), client, w); err != nil {
			t.Fatal(err)
		}
		return s.caller()
	}
	first := send(password)
	if first.Ticket.Len() > 0 || first.Addr != client.Addr || first.Holder == (edge.Holder{}) || first.Tickets == nil {
		t.Fatalf("the first call came from %+v", first)
	}
	first.Tickets.KeepTicket(first.Holder, s.ticketOf("alice"))
	eventually(t, "the ticket comes along", func() bool { return send(password).Ticket.Equal(s.ticketOf("alice")) })
	if got := s.caller(); got.Holder != first.Holder {
		t.Error("the holder is another")
	}
	polls := s.polls(client.Addr)
	f.Poll(client, aPoll, nil)
	eventually(t, "the poll arrives", func() bool { return s.polls(client.Addr) > polls })
	if got := s.caller(); !got.Ticket.Equal(s.ticketOf("alice")) || got.Holder != first.Holder {
		t.Error("the poll came without the ticket")
	}
	f.open(t, client)
	if got := s.caller(); !got.Ticket.Equal(s.ticketOf("alice")) || got.Holder != first.Holder {
		t.Error("the login came without the ticket")
	}
	if got := send(chat.NewSecret("wrong")); got.Ticket.Len() > 0 || got.Holder == first.Holder {
		t.Error("another password came with the ticket, or in the same name")
	}
}
