package proxy

import (
	"sync"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

const (
	// maxTickets is how many tickets are kept besides those of open streams. When there are more, those that were not
	// used for longest go, about: their users' next calls cost a server one hash each.
	maxTickets = 64 << 10

	maxTicketBytes = 64 // longer ones are not tickets, and are not kept

	ticketStripes   = 64
	generationLimit = maxTickets / ticketStripes / 2
)

// tickets are what servers gave this proxy for users whose password they had checked, so that no server need check it
// again. It implements [edge.TicketKeeper]. A look-up does not allocate.
type tickets struct {
	stripes [ticketStripes]ticketStripe
}

// ticketStripe is a part of the tickets, in two generations: what is used or new is in the young one. When that is full
// it becomes the old one, and the old one is forgotten.
type ticketStripe struct {
	mu         sync.Mutex
	young, old map[edge.Holder]chat.Secret
	held       map[edge.Holder]*holding // by open streams: in neither generation, and not forgotten
}

// holding is a ticket that open streams will need when they lose their server. It always is the newest one.
type holding struct {
	stripe *ticketStripe
	holder edge.Holder

	// Guarded by stripe.mu.
	ticket  chat.Secret // empty while there is none
	streams int
}

func newTickets() *tickets {
	t := &tickets{}
	for i := range t.stripes {
		t.stripes[i] = ticketStripe{
			young: make(map[edge.Holder]chat.Secret),
			old:   make(map[edge.Holder]chat.Secret),
			held:  make(map[edge.Holder]*holding),
		}
	}
	return t
}

// stripe is where h's ticket is. Holders are as good as random, so any byte will do.
func (t *tickets) stripe(h edge.Holder) *ticketStripe { return &t.stripes[h[0]%ticketStripes] }

// KeepTicket keeps a ticket in place of the one before. It implements [edge.TicketKeeper].
func (t *tickets) KeepTicket(h edge.Holder, ticket chat.Secret) {
	if ticket.Len() == 0 || ticket.Len() > maxTicketBytes {
		return
	}
	ticket = ticket.Clone()
	s := t.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.held[h]; held != nil {
		held.ticket = ticket
		return
	}
	delete(s.old, h)
	s.keepLocked(h, ticket)
}

// find is the ticket of h; empty if there is none.
func (t *tickets) find(h edge.Holder) chat.Secret {
	s := t.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.held[h]; held != nil {
		return held.ticket
	}
	if ticket, ok := s.young[h]; ok {
		return ticket
	}
	ticket, ok := s.old[h]
	if ok {
		delete(s.old, h)
		s.keepLocked(h, ticket)
	}
	return ticket
}

// hold keeps the ticket of h, and those that come later, until release.
func (t *tickets) hold(h edge.Holder) *holding {
	s := t.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.held[h]
	if held == nil {
		held = &holding{stripe: s, holder: h, ticket: s.takeLocked(h)}
		s.held[h] = held
	}
	held.streams++
	return held
}

// newest is the ticket as it is now; empty if none was given.
func (h *holding) newest() chat.Secret {
	h.stripe.mu.Lock()
	defer h.stripe.mu.Unlock()
	return h.ticket
}

// release says that one stream has ended. The ticket of the last one is kept as others are: the user may come back.
func (h *holding) release() {
	s := h.stripe
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.streams--; h.streams > 0 {
		return
	}
	delete(s.held, h.holder)
	if h.ticket.Len() > 0 {
		s.keepLocked(h.holder, h.ticket)
	}
}

// keepLocked makes a ticket a young one.
func (s *ticketStripe) keepLocked(h edge.Holder, ticket chat.Secret) {
	if _, known := s.young[h]; !known && len(s.young) >= generationLimit {
		clear(s.old) // and not a new map: the room is needed again
		s.young, s.old = s.old, s.young
	}
	s.young[h] = ticket
}

// takeLocked takes a ticket out of the generations.
func (s *ticketStripe) takeLocked(h edge.Holder) chat.Secret {
	ticket, ok := s.young[h]
	if !ok {
		ticket = s.old[h]
	}
	delete(s.young, h)
	delete(s.old, h)
	return ticket
}
