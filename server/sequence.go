package server

import (
	"sync"
	"sync/atomic"

	"multichat/internal/chat"
)

// sequence is what one stream has sent to one mailbox and is not answered. Those of it that are stored are stored in their
// order; so when one of it is given up, nothing behind it may be stored any more.
//
// Its sender need not know that it was given up. While a shard is silent, the stream may have gone on at another server, or
// the link to it may be cut: there the same messages wait, the first among them. Were those behind it stored here, it would be
// stored behind them there.
//
// What was refused at once, as too much, is no part of one. If that answer is lost together with this server, while what
// came behind was stored, the two change places: nobody but the sender could tell that it does not know.
type sequence struct {
	broken  atomic.Bool // one of it was given up
	waiting int         // how many it has; guarded by sequences.mu
}

// giveUp says that one of the sequence is about to be given up. It comes before the write is answered: whoever finds that
// answered, and goes on with the next one, finds the sequence broken. A nil sequence, of what no stream has sent, is none.
func (q *sequence) giveUp() {
	if q != nil {
		q.broken.Store(true)
	}
}

func (q *sequence) isBroken() bool { return q != nil && q.broken.Load() }

// sequences are a stream's, by mailbox: those in which something waits.
type sequences struct {
	mu    sync.Mutex
	byBox map[chat.Mailbox]*sequence
}

// join is the sequence of one more message. After one that is broken comes a new one: what comes later is another matter,
// since something before it was answered with an error.
func (s *sequences) join(m chat.Mailbox) *sequence {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byBox[m]
	if q == nil || q.isBroken() {
		q = &sequence{}
		if s.byBox == nil {
			s.byBox = make(map[chat.Mailbox]*sequence)
		}
		s.byBox[m] = q
	}
	q.waiting++
	return q
}

// leave says that a message of a sequence was answered.
func (s *sequences) leave(m chat.Mailbox, q *sequence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.waiting--; q.waiting == 0 && s.byBox[m] == q {
		delete(s.byBox, m)
	}
}
