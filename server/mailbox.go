package server

import (
	"slices"
	"sync"
	"sync/atomic"

	"multichat/internal/chat"
)

// mailbox is what this server holds in memory of one mailbox that its devices read: a tail of the newest messages, as
// far as the shard's reader has come. Devices have no queues of their own; each has a position, and what lies above it
// is taken from the tail, or from the store where the tail begins too late. Version 1 devices look when they poll; streams
// are woken.
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

	// Guarded by the reader's lock.
	users int  // devices and streams that read this mailbox
	fresh bool // it is among the news that are being gathered

	listening sync.Mutex // taken before deliveries.mu
	listeners []*window  // of the streams that read this mailbox, in no order; each knows its place here
}

// listen has a stream woken when something arrives here, until unlisten.
func (m *mailbox) listen(w *window) {
	m.listening.Lock()
	defer m.listening.Unlock()
	w.place = len(m.listeners)
	m.listeners = append(m.listeners, w)
}

func (m *mailbox) unlisten(w *window) {
	m.listening.Lock()
	defer m.listening.Unlock()
	end := len(m.listeners) - 1
	m.listeners[w.place] = m.listeners[end]
	m.listeners[w.place].place = w.place
	m.listeners[end] = nil
	m.listeners = m.listeners[:end]
}

// wakeListeners is called when something has arrived, after the reader's lock was released.
func (m *mailbox) wakeListeners(wake func(...*window)) {
	m.listening.Lock()
	defer m.listening.Unlock()
	if len(m.listeners) > 0 {
		wake(m.listeners...)
	}
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

// passed is how far a device that has got everything up to a position can go without looking: to where the tail begins, if
// nothing of this mailbox lies between. So what comes next is taken from the tail, and no page is read to find nothing.
func (m *mailbox) passed(position chat.Seq) chat.Seq {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.searched.Load() && !m.hasAbove(position) {
		return max(position, m.from)
	}
	return position
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
