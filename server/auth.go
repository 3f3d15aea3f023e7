package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// tag stands for a password that was checked against a stored hash: the first half of an HMAC-SHA256 of user, hash and
// password, under a key that the servers of a cluster derive from the cluster's. Comparing tags costs a microsecond where
// hashing costs tens of milliseconds, and a tag ends with the stored hash that it was made for. Whoever has the cluster's
// key, a tag and the stored hash could try passwords as quickly; but with the key one is a proxy to every server, and is told
// the passwords.
type tag [tagBytes]byte

const tagBytes = sha256.Size / 2

// Neither of the first two says whether the user exists.
var (
	errWrongPassword = chat.Errorf(chat.CodeAuth, "the userid or the password is wrong")
	errCheckTimeout  = chat.Errorf(chat.CodeUnavail, "the password could not be checked in time; nothing was stored")
	errWrongTicket   = chat.Errorf(chat.CodeAuth,
		"this login has ended, perhaps because the password was changed; log in again")
)

// authenticator tells whether somebody is a user: by the password, whose outcome it remembers, or by a ticket for it.
type authenticator struct {
	checks  checks
	guesses *guesses
	tickets *tickets // nil: there are none
	tags    *macs
	decoy   string // the stored hash of users that do not exist
	clock   func() time.Duration
}

func newAuthenticator(key chat.Secret, guessBurst int, clock func() time.Duration) *authenticator {
	var tagKey []byte
	if key.Len() > 0 {
		tagKey = derive(key, "multichat passwords")
	} else {
		tagKey = make([]byte, sha256.Size)
		rand.Read(tagKey)
	}
	return &authenticator{
		checks:  checks{hasher: newHasher(), running: make(map[tag]*check), users: make(map[chat.UserID]int)},
		guesses: newGuesses(guessBurst),
		tickets: newTickets(key),
		tags:    newMACs(tagKey),
		decoy:   newDecoy(),
		clock:   clock,
	}
}

func (a *authenticator) tag(u *chat.User, password chat.Secret) tag {
	sum := a.tags.sum(u, password)
	return tag(sum[:tagBytes])
}

// verdict is what is known of a password without hashing it.
type verdict uint8

const (
	unverified verdict = iota
	right
	wrong
)

// recall says what is remembered about t, or what the ticket that came with it tells.
func (a *authenticator) recall(u *account, t tag, ticket chat.Secret) verdict {
	if known := u.verified.Load(); known != nil && hmac.Equal(known[:], t[:]) {
		return right
	}
	if a.tickets.check(&u.user, ticket) != ticketWrong {
		if meant := tagIn(ticket); hmac.Equal(meant[:], t[:]) {
			kept := t // and not t itself, which would then be an allocation for each poll
			u.verified.Store(&kept)
			return right
		}
	}
	if refused := u.refused.Load(); refused != nil && hmac.Equal(refused[:], t[:]) {
		return wrong
	}
	return unverified
}

// verify hashes the password and remembers the outcome. The error is auth, or busy, or unavail.
func (a *authenticator) verify(ctx context.Context, from netip.Addr, u *account, password chat.Secret, t tag) error {
	err := a.check(ctx, from, &u.user, password, t)
	switch err {
	case nil:
		u.verified.Store(&t)
	case errWrongPassword:
		u.refused.Store(&t)
	}
	return err
}

// refuse answers for a user that does not exist, at the same price and in the same words as for one whose password is
// wrong.
func (a *authenticator) refuse(ctx context.Context, from netip.Addr, id chat.UserID, password chat.Secret) error {
	nobody := chat.User{ID: id, Hash: a.decoy}
	if err := a.check(ctx, from, &nobody, password, a.tag(&nobody, password)); err != nil {
		return err
	}
	return errWrongPassword
}

// check compares a password with the stored hash, within the bounds of what may be hashed.
func (a *authenticator) check(ctx context.Context, from netip.Addr, u *chat.User, password chat.Secret, t tag) error {
	if a.guesses.exceeded(from, a.clock()) {
		return errGuessesBusy
	}
	ok, err := a.checks.verify(ctx, t, u, password)
	switch {
	case err == nil && ok:
		return nil
	case err == nil:
		a.guesses.count(from, a.clock())
		return errWrongPassword
	case ctx.Err() != nil:
		return errCheckTimeout
	case err == errBadHash:
		return chat.Errorf(chat.CodeUnavail, "the password of user %s cannot be checked; set it again", u.ID).Because(err)
	}
	return err
}

// authenticate finds out whether somebody is a user, and gives the proxy on the way a ticket for the next time. Sends
// and logins of streams come by here; polls do the same without waiting, see [Server.pollAs]. What is remembered counts
// first, then the caller's ticket, and only then a hash is computed. With ticketOnly there is no password, not even an
// empty one: the ticket alone counts. The error is auth, busy or unavail.
func (s *Server) authenticate(
	ctx context.Context, from edge.Caller, id chat.UserID, password chat.Secret, ticketOnly bool,
) (*account, error) {
	user, err := s.accounts.load(ctx, id, s.clock())
	switch {
	case err != nil:
		return nil, err
	case ticketOnly:
		return user, s.auth.admit(user, from)
	case user == nil:
		return nil, s.auth.refuse(ctx, from.Addr, id, password)
	}
	t := s.auth.tag(&user.user, password)
	// A refusal that is remembered is no shortcut here: its speed would tell that the user exists.
	if s.auth.recall(user, t, from.Ticket) != right {
		if err := s.auth.verify(ctx, from.Addr, user, password, t); err != nil {
			return nil, err
		}
	}
	s.auth.renewTicket(user, from)
	return user, nil
}

// admit takes a caller for a user by its ticket alone, and remembers the password that the ticket is for. u is nil for a
// user that does not exist.
func (a *authenticator) admit(u *account, from edge.Caller) error {
	if u == nil || a.tickets.check(&u.user, from.Ticket) == ticketWrong {
		return errWrongTicket
	}
	if u.verified.Load() == nil {
		t := tagIn(from.Ticket)
		u.verified.Store(&t)
	}
	a.renewTicket(u, from)
	return nil
}
