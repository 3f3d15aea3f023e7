//go:build !race

package server_test

import (
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// With the race detector a sync.Pool forgets at random, so .ci/run has a step without it.

// A poll of a user who is known, and for whom nothing waits, is what a server is asked most.
func TestAnIdlePollDoesNotAllocate(t *testing.T) { // not parallel: what others allocate would be counted
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := newClient(t, "bob")
	if _, err := n.send("alice", "bob", "m1", "hello"); err != nil {
		t.Fatal(err)
	}
	bob.gets(n, "hello") // so that the device is known and its mailbox is read
	poll := wire.Poll{User: []byte("bob"), Password: chat.NewSecret(bob.password), Port: bob.port}
	from := edge.Caller{Addr: bob.addr}
	if got := testing.AllocsPerRun(2000, func() { n.Poll(from, poll, bob) }); got != 0 {
		t.Errorf("an idle poll allocates %v times", got)
	}
}
