package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"multichat/internal/chat"
)

// macs computes HMACs under one key, by many goroutines and without allocating.
type macs struct{ pool sync.Pool } // of *mac

// mac has room for what goes through the interface of a hash: that would be an allocation each time.
type mac struct {
	hash  hash.Hash
	input []byte
	sum   []byte
}

func newMACs(key []byte) *macs {
	return &macs{sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key)} }}}
}

// sum is the HMAC of a user with its stored hash, and of what stands for the user: a password, or a ticket's end.
func (m *macs) sum(u *chat.User, proof chat.Secret) [sha256.Size]byte {
	c := m.pool.Get().(*mac)
	defer m.pool.Put(c)
	// Each field with its length before it, so that no two triples give the same bytes.
	b := binary.BigEndian.AppendUint32(c.input[:0], uint32(len(u.ID)))
	b = append(b, u.ID...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(u.Hash)))
	b = append(b, u.Hash...)
	b = proof.AppendTo(b)
	c.hash.Reset()
	c.hash.Write(b)
	c.sum = c.hash.Sum(c.sum[:0])
	clear(b) // the password
	c.input = b
	return [sha256.Size]byte(c.sum)
}
