package server

import (
	"slices"
	"sync"
	"sync/atomic"

	"multichat/internal/chat"
)

// mailbox is what this server holds in memory of one mailbox that its devices read: a tail of the newest messages, as
// far as the shard's reader has come. Devices have no queues of their own; each has a position, and what lies above it
// is taken from the tail, or from the store where the tail begins too late.
type mailbox struct {
	name  chat.Mailbox
	shard chat.ShardNumber

	// newest is the highest seq that is known to be in this mailbox; a device at or above it has nothing to get. It
	// may be ahead of the tail for a moment.
	newest   atomic.Int64
	searched atomic.Bool // the store was asked for the newest since the first device joined

	mu    sync.Mutex
	from  chat.Seq       // tail holds every message of the mailbox in (from, the reader's position]
	tail  []chat.Message // ascending
	bytes int            // of the texts in tail
	mark  chat.Seq       // newest message in the tail when it was last aged; see age
	users int            // devices that read this mailbox, guarded by the reader's lock
}

// Bounds of a tail. At twice a bound its oldest messages are forgotten here, down to the bound, and slower devices read
// them from the store.
const (
	maxTailMessages = 1024
	maxTailBytes    = 1 << 20
)

// append adds the next messages, ascending and above all that came before.
func (m *mailbox) append(messages ...chat.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range messages {
		m.tail = append(m.tail, msg)
		m.bytes += len(msg.Text)
		m.raiseNewest(msg.Seq)
	}
	if len(m.tail) < 2*maxTailMessages && m.bytes < 2*maxTailBytes {
		return
	}
	drop := max(0, len(m.tail)-maxTailMessages)
	for bytes := m.bytes - textBytes(m.tail[:drop]); bytes > maxTailBytes; drop++ {
		bytes -= len(m.tail[drop].Text)
	}
	m.dropLocked(drop)
}

// skip says that the mailbox has messages up to and including seq that the tail has not got: the store has them.
func (m *mailbox) skip(newest, upTo chat.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raiseNewest(newest)
	m.from = max(m.from, upTo)
	m.tail, m.bytes = nil, 0
}

// age forgets what was in the tail at the last call of age: devices that poll have it by then. It keeps the memory of
// mailboxes in which nothing happens at nothing.
func (m *mailbox) age() {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, _ := slices.BinarySearchFunc(m.tail, m.mark+1, bySeq)
	m.dropLocked(old)
	if len(m.tail) > 0 {
		m.mark = m.tail[len(m.tail)-1].Seq
	}
}

func (m *mailbox) dropLocked(n int) {
	if n == 0 {
		return
	}
	m.from = m.tail[n-1].Seq
	m.bytes -= textBytes(m.tail[:n])
	m.tail = slices.Clone(m.tail[n:]) // a fresh array, so that the dropped texts can be collected
}

// after returns up to limit messages above a position, from the tail. If the tail begins above the position, it returns
// none, and gap says up to where the store has to be asked; else gap is 0.
func (m *mailbox) after(position chat.Seq, limit int) (messages []chat.Message, gap chat.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if position < m.from {
		return nil, m.from
	}
	i, _ := slices.BinarySearchFunc(m.tail, position+1, bySeq)
	return m.tail[i:min(i+limit, len(m.tail)):len(m.tail)], 0
}

// hasAbove says, without a lock, whether anything may wait above a position.
func (m *mailbox) hasAbove(position chat.Seq) bool { return m.newest.Load() > int64(position) }

func (m *mailbox) raiseNewest(seq chat.Seq) {
	for {
		old := m.newest.Load()
		if int64(seq) <= old || m.newest.CompareAndSwap(old, int64(seq)) {
			return
		}
	}
}

func textBytes(messages []chat.Message) int {
	n := 0
	for _, m := range messages {
		n += len(m.Text)
	}
	return n
}

func bySeq(m chat.Message, seq chat.Seq) int {
	switch {
	case m.Seq < seq:
		return -1
	case m.Seq > seq:
		return 1
	}
	return 0
}
