package server

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"multichat/internal/chat"
	"multichat/ring"
)

// guesses bounds the wrong passwords that come from one address, of IPv6 from one /64. Beyond the bound what comes from
// there is refused before it costs a hash, the right password too, unless it is known to be right by other means.
//
// The memory is fixed, so addresses share buckets. That hurts few, whoever guesses from however many addresses: to empty
// a bucket takes a burst of hashes and to keep it empty one in guessEvery, and this server computes so many hashes only.
type guesses struct {
	rate    rate
	seed    uint64 // of this process, so that nobody can choose with whom to share
	buckets []bucket
}

const (
	guessBuckets      = 1 << 16 // of 8 bytes each
	guessEvery        = 3 * time.Second
	DefaultGuessBurst = 20
)

var errGuessesBusy = chat.Errorf(chat.CodeBusy,
	"too many wrong passwords came from your address; wait a minute and try again")

// newGuesses takes the setting, of which 0 is the default and less is no limit.
func newGuesses(burst int) *guesses {
	if burst == 0 {
		burst = DefaultGuessBurst
	}
	return &guesses{rate: rate{guessEvery, max(burst, 0)}, seed: rand.Uint64(), buckets: make([]bucket, guessBuckets)}
}

// exceeded says that too many wrong passwords have come from an address.
func (g *guesses) exceeded(from netip.Addr, now time.Duration) bool {
	return g.bucket(from).empty(g.rate, now)
}

// count takes note of a wrong password. Those that were being checked already when the last token went cost nothing: so
// nobody has to wait for long because of a moment.
func (g *guesses) count(from netip.Addr, now time.Duration) { g.bucket(from).take(g.rate, now) }

func (g *guesses) bucket(from netip.Addr) *bucket {
	return &g.buckets[ring.ClientKey(from, g.seed)%guessBuckets]
}
