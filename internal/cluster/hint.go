package cluster

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"multichat/internal/chat"
)

// A hint says that a shard has committed up to newest. Hints go from server to server in datagrams of
//
//	kind u8 = 1, then 1 to 100 times: shard u16 · newest u64
//
// The receiver drops a datagram that has anything else in it.
type hint struct {
	shard  chat.ShardNumber
	newest chat.Seq
}

const (
	hintKind   = 1
	hintSize   = 2 + 8
	maxHints   = 100 // per datagram, which stays below any network's limit
	hintPeriod = time.Millisecond
)

var errHint = errors.New("a datagram that is no hint")

// parseHints reads a datagram. Nothing in b is trusted.
func parseHints(b []byte) ([]hint, error) {
	if len(b) < 1+hintSize || len(b) > 1+maxHints*hintSize || b[0] != hintKind || (len(b)-1)%hintSize != 0 {
		return nil, errHint
	}
	hints := make([]hint, 0, len(b)/hintSize)
	for b = b[1:]; len(b) > 0; b = b[hintSize:] {
		h := hint{chat.ShardNumber(binary.BigEndian.Uint16(b)), chat.Seq(binary.BigEndian.Uint64(b[2:]))}
		if h.shard >= chat.MaxShards || h.newest <= 0 {
			return nil, errHint
		}
		hints = append(hints, h)
	}
	return hints, nil
}

// encodeHints makes a datagram of at most maxHints hints.
func encodeHints(hints []hint) []byte {
	b := make([]byte, 0, 1+len(hints)*hintSize)
	b = append(b, hintKind)
	for _, h := range hints {
		b = binary.BigEndian.AppendUint16(b, uint16(h.shard))
		b = binary.BigEndian.AppendUint64(b, uint64(h.newest))
	}
	return b
}

// outbox keeps the newest hint of each shard until it is sent. It is bounded by the number of shards: a newer hint
// takes the place of an older one.
type outbox struct {
	wake chan struct{} // one slot: there is something to send

	mu     sync.Mutex
	newest map[chat.ShardNumber]chat.Seq
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), newest: make(map[chat.ShardNumber]chat.Seq)}
}

// put never blocks. What is no hint is passed over.
func (o *outbox) put(h hint) {
	if h.shard >= chat.MaxShards || h.newest <= 0 {
		return
	}
	o.mu.Lock()
	o.newest[h.shard] = max(o.newest[h.shard], h.newest)
	o.mu.Unlock()
	signal(o.wake)
}

// run gives what there is to send, a datagram at a time, and then pauses for hintPeriod: so each shard is told of at
// most once in a period, and the last hint always. It returns when ctx ends, after a last round.
func (o *outbox) run(ctx context.Context, send func(datagram []byte)) {
	for {
		select {
		case <-ctx.Done():
			o.flush(send)
			return
		case <-o.wake:
		}
		o.flush(send)
		select {
		case <-ctx.Done():
		case <-time.After(hintPeriod):
		}
	}
}

func (o *outbox) flush(send func(datagram []byte)) {
	o.mu.Lock()
	hints := make([]hint, 0, len(o.newest))
	for shard, newest := range o.newest {
		hints = append(hints, hint{shard, newest})
	}
	clear(o.newest)
	o.mu.Unlock()
	slices.SortFunc(hints, func(a, b hint) int { return cmp.Compare(a.shard, b.shard) })
	for some := range slices.Chunk(hints, maxHints) {
		send(encodeHints(some))
	}
}
