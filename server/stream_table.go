package server

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// streams is the table of the open streams of one shard's users, those that are being opened among them. Streams are ended
// without its lock.
type streams struct {
	total   *atomic.Int64 // of all shards
	perUser int           // streams of one user; negative: any number

	mu      sync.Mutex
	closed  bool // no more are admitted
	all     map[*stream]struct{}
	users   map[chat.UserID]int
	devices map[chat.Device]*stream // which stream has a device; only one does
}

const (
	// DefaultUserStreams is how many streams one user may have on a server. One more is answered busy, unless it has the
	// device of one that is open, which it replaces.
	DefaultUserStreams = 64

	// maxStreams bounds the streams of a server; one more is answered busy. A stream that is idle takes about 1 KiB.
	maxStreams = 1 << 18
)

var (
	errTooManyStreams = chat.Errorf(chat.CodeBusy, "you have too many streams open; close some")
	errStreamsFull    = chat.Errorf(chat.CodeBusy, "this server has too many streams open; try again later")
)

func newStreams(total *atomic.Int64, perUser int) *streams {
	return &streams{total: total, perUser: perUser, all: make(map[*stream]struct{}), users: make(map[chat.UserID]int),
		devices: make(map[chat.Device]*stream)}
}

// admit takes a stream in, or says why not.
func (t *streams) admit(st *stream) *chat.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	replaces := st.device != "" && t.devices[chat.Device{User: st.user, ID: st.device}] != nil
	switch {
	case t.closed:
		return edge.ErrLeaving
	case t.perUser >= 0 && t.users[st.user] >= t.perUser && !replaces:
		return errTooManyStreams
	case t.total.Load() >= maxStreams:
		return errStreamsFull
	}
	t.total.Add(1)
	t.all[st] = struct{}{}
	t.users[st.user]++
	return nil
}

// claim gives a stream its device, unless it has gone already. It returns the stream that had the device, or st itself if
// that one's session is newer.
func (t *streams) claim(st *stream) (replaced *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, here := t.all[st]; !here {
		return nil
	}
	device := chat.Device{User: st.user, ID: st.device}
	other := t.devices[device]
	if other != nil && other.session > st.session {
		return st
	}
	t.devices[device] = st
	return other
}

// remove takes a stream out that was admitted.
func (t *streams) remove(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, here := t.all[st]; !here {
		return
	}
	delete(t.all, st)
	t.total.Add(-1)
	if t.users[st.user]--; t.users[st.user] == 0 {
		delete(t.users, st.user)
	}
	if device := (chat.Device{User: st.user, ID: st.device}); t.devices[device] == st {
		delete(t.devices, device)
	}
}

// each calls f for every stream, with the table's lock held.
func (t *streams) each(f func(*stream)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for st := range t.all {
		f(st)
	}
}

// close admits no more streams, and returns those that there are.
func (t *streams) close() []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return slices.Collect(maps.Keys(t.all))
}
