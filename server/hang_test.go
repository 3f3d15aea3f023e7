package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/server"
)

// everyCall is all that a server asks of a shard.
var everyCall = []string{"Append", "Arrivals", "Bodies", "Page", "Newest", "Users", "OpenCursors", "RaiseCursors"}

func TestUsersOfOtherShardsAreServedWhileOneHangs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		hung func(*cluster) chat.ShardNumber
	}{
		{"the shard of everyone", func(c *cluster) chat.ShardNumber { return c.Locate(chat.Everyone) }},
		{"another one", func(c *cluster) chat.ShardNumber { return c.otherThan(c.Locate(chat.Everyone)) }},
	} {
		t.Run(test.name, onBothEngines(2, func(t *testing.T, c *cluster) {
			hung := test.hung(c)
			users := c.addUsersOn(c.otherThan(hung), 3)
			alice, known, fresh := users[0], newClient(t, users[1]), newClient(t, users[2])
			c.commit(alice, chat.Everyone, "to all") // older than the server, so it is in no tail
			n := c.serve()
			release := n.store.hang(t, hung, everyCall...)

			began := time.Now()
			for i := range 10 {
				text := fmt.Sprint(i)
				n.say(alice, known.user.Mailbox(), text)
				known.pollUntil(n, "given "+text, func() bool { return slices.Contains(known.texts(), text) })
			}
			n.say(alice, fresh.user.Mailbox(), "to a new device")
			fresh.pollUntil(n, "given its message", func() bool { return slices.Contains(fresh.texts(), "to a new device") })
			if took := time.Since(began); took > patience {
				t.Errorf("eleven messages, one after another, took %v", took)
			}
			release()
			for _, device := range []*client{known, fresh} {
				device.pollUntil(n, "given the broadcast", func() bool { return slices.Contains(device.texts(), "to all") })
			}
		}))
	}
}

// What waits for a push is bounded for all shards together, so none may take more than a part.
func TestAShardWhosePagesHangKeepsFewPushes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	hung := c.otherThan(c.Locate(chat.Everyone))
	users := c.addUsersOn(hung, 2*server.MaxPages/chat.MaxDevices)
	others := c.addUsersOn(c.otherThan(hung), 2)
	var devices []*client
	for _, user := range users {
		c.commit(others[0], user.Mailbox(), "waits")
		for i := range chat.MaxDevices {
			d := newClient(t, user)
			d.port += uint16(i)
			devices = append(devices, d)
		}
	}
	n := c.serve()
	release := n.store.hang(t, hung, "Page")
	pollAll := func() {
		for _, d := range devices {
			d.poll(n)
		}
	}
	eventually(t, "all devices are known", func() bool {
		pollAll()
		return !slices.ContainsFunc(devices, func(d *client) bool { return !n.Knows(d.user, d.addr, d.port) })
	})
	eventually(t, "pages wait, and no more than may", func() bool {
		pollAll()
		return n.drops("pages_busy") > 0 && n.Pushing() == server.MaxPages
	})
	other := newClient(t, others[1])
	n.say(others[0], other.user.Mailbox(), "hello")
	other.gets(n, "hello")
	release()
	eventually(t, "each has what waited", func() bool {
		pollAll()
		return !slices.ContainsFunc(devices, func(d *client) bool { return len(d.texts()) == 0 })
	})
}
