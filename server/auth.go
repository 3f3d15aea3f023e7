package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"

	"multichat/internal/chat"
)

// tag stands for a password that was checked against a stored hash: an HMAC of user, password and hash under a key
// that only this process has. Comparing tags costs a microsecond where hashing costs tens of milliseconds, and a tag
// ends with the stored hash that it was made for.
type tag [sha256.Size]byte

// refusal is a password that was found wrong, so that a client with an old password, which polls with it once a second,
// does not cost a hash each time.
type refusal struct {
	tag   tag
	until time.Duration // as Server.clock
}

const refusalTime = 10 * time.Second

// Neither of them says whether the user exists.
var (
	errWrongPassword = chat.Errorf(chat.CodeAuth, "the userid or the password is wrong")
	errCheckTimeout  = chat.Errorf(chat.CodeUnavail, "the password could not be checked in time; nothing was stored")
)

// authenticator tells whether a password is a user's.
type authenticator struct {
	checks checks
	macs   sync.Pool // of hash.Hash
	decoy  string    // the stored hash of users that do not exist
}

func newAuthenticator() *authenticator {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return &authenticator{
		checks: checks{hasher: newHasher(), running: make(map[tag]*check), users: make(map[chat.UserID]int)},
		macs:   sync.Pool{New: func() any { return hmac.New(sha256.New, key) }},
		decoy:  newDecoy(),
	}
}

func (a *authenticator) tag(u *chat.User, password chat.Secret) (t tag) {
	mac := a.macs.Get().(hash.Hash)
	defer a.macs.Put(mac)
	mac.Reset()
	// Each field with its length before it, so that no two triples give the same bytes.
	buf := make([]byte, 0, 512)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(u.ID)))
	buf = append(buf, u.ID...)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(u.Hash)))
	buf = append(buf, u.Hash...)
	buf = password.AppendTo(buf)
	mac.Write(buf)
	mac.Sum(t[:0])
	return t
}

// verdict is what is known of a password without hashing it.
type verdict uint8

const (
	unverified verdict = iota
	right
	wrong
)

// recall says what is remembered about t.
func (a *authenticator) recall(u *account, t tag, now time.Duration) verdict {
	if known := u.verified.Load(); known != nil && hmac.Equal(known[:], t[:]) {
		return right
	}
	if r := u.refused.Load(); r != nil && now < r.until && hmac.Equal(r.tag[:], t[:]) {
		return wrong
	}
	return unverified
}

// verify hashes the password and remembers the outcome. The error is auth, or busy, or unavail.
func (a *authenticator) verify(ctx context.Context, u *account, password chat.Secret, t tag, clock func() time.Duration) error {
	ok, err := a.checks.verify(ctx, t, &u.user, password)
	switch {
	case err == nil && ok:
		u.verified.Store(&t)
		return nil
	case err == nil:
		u.refused.Store(&refusal{tag: t, until: clock() + refusalTime})
		return errWrongPassword
	case ctx.Err() != nil:
		return errCheckTimeout
	case err == errBadHash:
		return chat.Errorf(chat.CodeUnavail, "the password of user %s cannot be checked; set it again", u.user.ID).Because(err)
	}
	return err
}

// refuse answers for a user that does not exist, at the same price and in the same words as for one whose password is
// wrong.
func (a *authenticator) refuse(ctx context.Context, id chat.UserID, password chat.Secret) error {
	nobody := chat.User{ID: id, Hash: a.decoy}
	_, err := a.checks.verify(ctx, a.tag(&nobody, password), &nobody, password)
	switch {
	case err == nil:
		return errWrongPassword
	case ctx.Err() != nil:
		return errCheckTimeout
	}
	return err
}

// authenticate finds a user and checks the password, from memory where possible. The error is auth, busy or unavail.
func (s *Server) authenticate(ctx context.Context, id chat.UserID, password chat.Secret) (*account, error) {
	user, err := s.accounts.load(ctx, id, s.clock())
	if err != nil {
		return nil, err
	}
	if user == nil {
		return nil, s.auth.refuse(ctx, id, password)
	}
	t := s.auth.tag(&user.user, password)
	if s.auth.recall(user, t, s.clock()) == right {
		return user, nil
	}
	// A refusal that is remembered is no shortcut here: its speed would tell that the user exists.
	return user, s.auth.verify(ctx, user, password, t, s.clock)
}
