package server_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"multichat/internal/chat"
	"multichat/server"
)

func TestEnginesAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want server.Engine
		ok   bool
	}{
		{"event", server.EventEngine, true},
		{"sync", server.SyncEngine, true},
		{"", 0, false},
		{"Event", 0, false},
		{"v1", 0, false},
	} {
		var e server.Engine
		if err := e.UnmarshalText([]byte(test.text)); (err == nil) != test.ok || e != test.want {
			t.Errorf("%q is engine %v, error %v", test.text, e, err)
		}
		if test.ok && test.want.String() != test.text {
			t.Errorf("%v is called %q", test.text, test.want)
		}
	}
	if (server.Config{}).Engine != server.EventEngine {
		t.Error("the event engine is not the default")
	}
}

// sendAtOnce sends from many at the same time; each text is its own id.
func sendAtOnce(n *node, to chat.Mailbox, senders, each int) {
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for k := range each {
				if _, err := n.send("alice", to, chat.MessageID(fmt.Sprint(i, " ", k)), "text"); err != nil {
					n.t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// That is what a store asks of its callers, and it gives commits an order that can be told on.
func TestAShardStoresOneBatchAtATimeAndTellsInOrder(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		var told []chat.Seq
		n := c.serve(func(cfg *server.Config) {
			cfg.Committed = func(_ chat.ShardNumber, newest chat.Seq) { told = append(told, newest) } // one at a time, too
		})
		var running, most atomic.Int32
		n.store.on("Append", func(_ context.Context, do func() error) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			return do()
		})
		const senders, each = 16, 5
		sendAtOnce(n, "bob", senders, each)
		n.end() // whatever tells has told
		if most.Load() != 1 {
			t.Errorf("%d batches at once", most.Load())
		}
		for i, seq := range told[1:] {
			if seq <= told[i] {
				t.Errorf("told of %d after %d", seq, told[i])
			}
		}
		stored := c.stored("bob")
		if len(stored) != senders*each || told[len(told)-1] != stored[len(stored)-1].Seq {
			t.Errorf("%d messages are stored, the last is %d; told of %d", len(stored), stored[len(stored)-1].Seq, told[len(told)-1])
		}
		if c.engine == server.SyncEngine && n.store.count("Append") != senders*each {
			t.Errorf("%d messages in %d transactions; want one for each", senders*each, n.store.count("Append"))
		}
	})(t)
}
