package proxy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	mathrand "math/rand/v2"
	"sync"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// holders names users with their passwords, under a key that this process has made up and nobody else knows: a name can
// be compared with another, and nothing else can be learnt from it. It is called for every poll, so it does not allocate.
type holders struct {
	macs [16]holderMAC // any one will do: there are several so that those who read polls seldom wait for each other
}

// holderMAC is an HMAC-SHA256 whose key is hashed already, and buffers that outlive a call.
type holderMAC struct {
	mu    sync.Mutex
	mac   hash.Hash
	input []byte
	sum   []byte
}

func newHolders() *holders {
	var key [sha256.Size]byte
	rand.Read(key[:]) // never fails
	h := &holders{}
	for i := range h.macs {
		h.macs[i].mac = hmac.New(sha256.New, key[:])
	}
	return h
}

// of is the name of a user with a password. Neither has a zero byte in it, which therefore parts them.
func (h *holders) of(user []byte, password chat.Secret) edge.Holder {
	return h.macs[mathrand.N(len(h.macs))].of(user, password)
}

func (m *holderMAC) of(user []byte, password chat.Secret) edge.Holder {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.input = append(append(m.input[:0], user...), 0)
	m.input = password.AppendTo(m.input)
	m.mac.Reset()
	m.mac.Write(m.input)
	clear(m.input) // no password stays here
	m.sum = m.mac.Sum(m.sum[:0])
	return edge.Holder(m.sum)
}
