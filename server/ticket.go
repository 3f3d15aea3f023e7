package server

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/faults"
)

// tickets makes and checks tickets. A ticket says that its user's password was found right not long ago, so that no
// other server, to which the user comes next, has to hash it. It is an HMAC under a key that all servers of a cluster
// derive from the cluster's:
//
//	expiry, 8 bytes: Unix seconds, big endian
//	tag, 16 bytes: of the password that was right
//	HMAC-SHA256, 32 bytes: of the userid, the stored hash, and the two above
//
// The stored hash is in it, so that a changed password ends the tickets of the one before: everywhere, as soon as a
// server reads the user again. The tag tells a server that takes a stream over, without a password, which one is right:
// when nodes are restarted one after another, a proxy without tickets meets servers that have seen tickets only.
type tickets struct {
	macs *macs
	now  func() time.Time // not [Server.clock]: the time of day is what servers have in common
}

const (
	ticketBytes = ticketHead + sha256.Size
	ticketHead  = 8 + tagBytes     // what the HMAC vouches for
	ticketTime  = time.Hour        // from making to expiry
	ticketRenew = ticketTime / 2   // with less than this to its expiry, a ticket that is used is replaced
	ticketSkew  = 10 * time.Minute // by which the clocks of two servers may differ
)

// newTickets makes tickets under a cluster's key. Without one it returns nil: no tickets are made, and none is right.
func newTickets(key chat.Secret) *tickets {
	if key.Len() == 0 {
		return nil
	}
	return &tickets{macs: newMACs(derive(key, "multichat tickets")), now: faults.Now}
}

// derive makes a key for one purpose of a cluster's.
func derive(key chat.Secret, purpose string) []byte {
	derived, err := hkdf.Key(sha256.New, key.AppendTo(nil), nil, purpose, sha256.Size)
	if err != nil {
		panic("server: deriving a key: " + err.Error()) // only a longer key could fail
	}
	return derived
}

// issued is a ticket and its expiry.
type issued struct {
	ticket chat.Secret
	expiry time.Time
}

func (t *tickets) issue(u *chat.User, password tag) *issued {
	expiry := t.now().Add(ticketTime)
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, ticketBytes), uint64(expiry.Unix()))
	raw = append(raw, password[:]...)
	sum := t.macs.sum(u, chat.ViewSecret(raw))
	return &issued{chat.ViewSecret(append(raw, sum[:]...)), expiry}
}

// ticketState is what a ticket is worth.
type ticketState uint8

const (
	ticketWrong ticketState = iota // there is none, or it is another user's or password's, or too old
	ticketAged                     // right, and to be replaced
	ticketFresh
)

// check says what a ticket is worth as u's.
func (t *tickets) check(u *chat.User, ticket chat.Secret) ticketState {
	if t == nil || ticket.Len() != ticketBytes {
		return ticketWrong
	}
	var buf [ticketBytes]byte
	raw := ticket.AppendTo(buf[:0])
	sum := t.macs.sum(u, chat.ViewSecret(raw[:ticketHead]))
	if !hmac.Equal(sum[:], raw[ticketHead:]) {
		return ticketWrong
	}
	return t.age(time.Unix(int64(binary.BigEndian.Uint64(raw)), 0))
}

// tagIn is the tag in a ticket that was found right.
func tagIn(ticket chat.Secret) tag {
	return tag(ticket.AppendTo(make([]byte, 0, ticketBytes))[8:ticketHead])
}

// age says what a ticket with this expiry is worth. One that ends later than any does that is made now comes from a server
// whose clock is wrong; it would be right for too long.
func (t *tickets) age(expiry time.Time) ticketState {
	switch left := expiry.Sub(t.now()); {
	case left < -ticketSkew, left > ticketTime+ticketSkew:
		return ticketWrong
	case left < ticketRenew:
		return ticketAged
	}
	return ticketFresh
}

// ticketFor is a ticket of a user who has just proved to be one, for at least ticketRenew from now; empty if this cluster
// has no key, or nobody has. It is the same for all who ask at about the same time.
func (a *authenticator) ticketFor(u *account) chat.Secret {
	verified := u.verified.Load()
	if a.tickets == nil || verified == nil {
		return chat.Secret{}
	}
	last := u.ticket.Load()
	if last == nil || a.tickets.age(last.expiry) != ticketFresh {
		last = a.tickets.issue(&u.user, *verified)
		u.ticket.Store(last)
	}
	return last.ticket
}

// renewTicket gives the proxy that a right password or ticket came by a ticket for the next time, unless the one that it
// has is good for long enough.
func (a *authenticator) renewTicket(u *account, from edge.Caller) {
	if from.Tickets == nil || a.tickets == nil {
		return
	}
	last := u.ticket.Load()
	if last != nil && last.ticket.Equal(from.Ticket) { // spares polls an HMAC
		if a.tickets.age(last.expiry) == ticketFresh {
			return
		}
	} else if a.tickets.check(&u.user, from.Ticket) == ticketFresh {
		return
	}
	from.Tickets.KeepTicket(from.Holder, a.ticketFor(u))
}
