package cluster

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/chat"
)

func TestHintDatagramsThatAreNone(t *testing.T) {
	good := encodeHints([]hint{{3, 1027}})
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"empty", nil},
		{"no hint in it", good[:1]},
		{"half a hint", good[:len(good)-1]},
		{"a byte too many", append(slices.Clone(good), 0)},
		{"another kind", append([]byte{9}, good[1:]...)},
		{"a shard above all", encodeHints([]hint{{3, 1027}, {chat.MaxShards, 1}})},
		{"a seq of nothing", encodeHints([]hint{{3, 0}})},
		{"a negative seq", encodeHints([]hint{{3, -1}})},
		{"too many hints", encodeHints(slices.Repeat([]hint{{3, 1027}}, maxHints+1))},
		{"a megabyte", make([]byte, 1<<20)},
	} {
		if hints, err := parseHints(tt.b); err == nil {
			t.Errorf("%s: it was taken as %v", tt.name, hints)
		}
	}
}

func FuzzHints(f *testing.F) {
	f.Add(encodeHints([]hint{{3, 1027}, {0, 1 << 60}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if hints, err := parseHints(b); err == nil && !bytes.Equal(encodeHints(hints), b) {
			t.Errorf("%x was read as %v", b, hints)
		}
	})
}

// sent is what an outbox gave, with its times.
type sent struct {
	mu sync.Mutex
	at map[chat.ShardNumber][]time.Time
	to map[chat.ShardNumber]chat.Seq
}

func (s *sent) send(b []byte) {
	hints, err := parseHints(b)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range hints {
		s.at[h.shard] = append(s.at[h.shard], time.Now())
		s.to[h.shard] = h.newest
	}
}

func TestHintsGoOutOncePerShardAndMillisecondAndTheLastAlways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, commits, apart = 250, 400, 100 * time.Microsecond
		out := sent{at: map[chat.ShardNumber][]time.Time{}, to: map[chat.ShardNumber]chat.Seq{}}
		box := newOutbox()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { box.run(ctx, out.send); close(done) }()
		for i := range chat.Seq(commits) {
			for shard := range chat.ShardNumber(shards) {
				box.put(hint{shard, i + 1})
				box.put(hint{shard, i}) // an older one that comes late changes nothing
			}
			time.Sleep(apart)
		}
		box.put(hint{0, commits + 1})
		cancel() // what is in the box is still sent
		<-done
		if len(out.to) != shards {
			t.Fatalf("hints of %d shards were sent, not %d", len(out.to), shards)
		}
		for shard, at := range out.at {
			if shard == 0 {
				at = at[:len(at)-1] // the parting hint does not wait
			}
			for i := 1; i < len(at); i++ {
				if d := at[i].Sub(at[i-1]); d < hintPeriod {
					t.Fatalf("shard %d was told of twice within %v", shard, d)
				}
			}
			want := chat.Seq(commits)
			if shard == 0 {
				want++
			}
			if out.to[shard] != want {
				t.Errorf("the last hint of shard %d says %d, not %d", shard, out.to[shard], want)
			}
		}
	})
}

func TestWhatIsNoHintIsNotKept(t *testing.T) {
	box := newOutbox()
	for _, h := range []hint{{chat.MaxShards, 1}, {1, 0}, {1, -5}} {
		box.put(h)
	}
	box.flush(func(b []byte) { t.Errorf("%x was sent", b) })
}
