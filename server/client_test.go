package server_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// client is a first-generation client together with the way back to it. Unless it is told otherwise, it takes what it is
// given.
type client struct {
	t        *testing.T
	user     chat.UserID
	password string
	addr     netip.Addr
	port     uint16

	mu     sync.Mutex
	answer func(context.Context, edge.Push) (edge.Receipt, error) // nil takes everything
	got    []chat.Message
	pushes []pushed
}

// pushed is a push as it came, and when.
type pushed struct {
	edge.Push
	at time.Time
}

// newClient is a user's client at an address that no other user has.
func newClient(t *testing.T, user chat.UserID) *client {
	hash := fnv.New32a()
	hash.Write([]byte(user))
	h := hash.Sum32()
	return &client{t: t, user: user, password: passwordOf(user),
		addr: netip.AddrFrom4([4]byte{127, 1 + byte(h>>16)%100, byte(h >> 8), byte(h)}), port: 10001}
}

// otherDevice is one more client of the same user.
func (c *client) otherDevice(last byte) *client {
	other := newClient(c.t, c.user)
	other.addr = netip.AddrFrom4([4]byte{127, 0, 0, last})
	return other
}

// device is the name of the client's cursor in the store.
func (c *client) device() chat.DeviceID {
	return chat.DeviceID(fmt.Sprintf("v1 %s %d", c.addr, c.port))
}

// Push implements [edge.Pusher].
func (c *client) Push(ctx context.Context, p edge.Push) (edge.Receipt, error) {
	c.mu.Lock()
	c.pushes = append(c.pushes, pushed{p, time.Now()})
	answer := c.answer
	c.mu.Unlock()
	receipt, err := takes(len(p.Messages))(ctx, p)
	if answer != nil {
		receipt, err = answer(ctx, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, p.Messages[:receipt.Taken]...)
	return receipt, err
}

// takes is a client that takes the first n messages of a push, and then breaks off if there are more.
func takes(n int) func(context.Context, edge.Push) (edge.Receipt, error) {
	return func(_ context.Context, p edge.Push) (edge.Receipt, error) {
		if n >= len(p.Messages) {
			return edge.Receipt{Taken: len(p.Messages), Port: p.Ports[0], Outcome: edge.PushTaken}, nil
		}
		return edge.Receipt{Taken: n, Port: p.Ports[0], Outcome: edge.PushBroken}, nil
	}
}

// ends is a client whose pushes end with an outcome, and nothing taken.
func ends(o edge.Outcome) func(context.Context, edge.Push) (edge.Receipt, error) {
	return func(context.Context, edge.Push) (edge.Receipt, error) { return edge.Receipt{Outcome: o}, nil }
}

func (c *client) answers(answer func(context.Context, edge.Push) (edge.Receipt, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

func (c *client) poll(n *node) { c.pollBy(n, c) }

// pollBy polls by another way back.
func (c *client) pollBy(n *node, back edge.Pusher) {
	n.Poll(edge.Caller{Addr: c.addr}, wire.Poll{User: []byte(c.user), Password: chat.NewSecret(c.password), Port: c.port}, back)
}

// pollUntil polls, faster than a real client, until a condition holds.
func (c *client) pollUntil(n *node, what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s polled for %v: not %s; got %d messages: %.300q", c.user, patience, what, len(c.texts()), c.texts())
		}
		c.poll(n)
	}
}

// gets polls until as many texts have come as are named, and fails unless they are these in this order.
func (c *client) gets(n *node, texts ...string) {
	c.t.Helper()
	c.pollUntil(n, fmt.Sprintf("given %.300q", texts), func() bool { return len(c.texts()) >= len(texts) })
	if got := c.texts(); !slices.Equal(got, texts) {
		c.t.Fatalf("%s got %.500q, want %.500q", c.user, got, texts)
	}
}

// join polls until the server knows the device and has looked for what waits.
func (c *client) join(n *node) {
	c.t.Helper()
	c.pollUntil(n, "known to the server", func() bool { return n.Knows(c.user, c.addr, c.port) && n.Pushing() == 0 })
}

func (c *client) texts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	texts := make([]string, len(c.got))
	for i, m := range c.got {
		texts[i] = string(m.Text)
	}
	return texts
}

func (c *client) pushed() []pushed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pushes)
}
