package server

import (
	"context"
	"errors"
	"sync"

	"multichat/internal/chat"
)

// checks makes one of equal password checks that are asked for at the same time: a client that opens many connections
// at once, before its password is known here, costs one hash and not one for each.
type checks struct {
	hasher *hasher

	mu      sync.Mutex
	running map[tag]*check      // bounded by the hasher's own bound
	users   map[chat.UserID]int // of the running ones
}

// maxUserChecks is how many passwords of one user may be checked at once: guessing at one must not take all places.
const maxUserChecks = 4

// check is one that runs. Its outcome may be read once done is closed.
type check struct {
	done chan struct{}
	ok   bool
	err  error
}

// verify compares a password with u's stored hash, t being their tag. The error is busy, ctx's, or about the hash.
func (c *checks) verify(ctx context.Context, t tag, u *chat.User, password chat.Secret) (bool, error) {
	for {
		running, mine := c.join(t, u.ID)
		switch {
		case running == nil:
			return false, errHashesBusy
		case mine:
			running.ok, running.err = c.hasher.verify(ctx, password, u.Hash)
			c.leave(t, u.ID, running)
			return running.ok, running.err
		}
		select {
		case <-running.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if !errors.Is(running.err, context.Canceled) && !errors.Is(running.err, context.DeadlineExceeded) {
			return running.ok, running.err
		}
		// Whoever asked first has given up waiting; that is no answer for others.
	}
}

// join finds the check of t that runs, or begins one, which is then the caller's to do. It returns nil when too many of
// the user's run.
func (c *checks) join(t tag, user chat.UserID) (running *check, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if running := c.running[t]; running != nil {
		return running, false
	}
	if c.users[user] >= maxUserChecks {
		return nil, false
	}
	running = &check{done: make(chan struct{})}
	c.running[t] = running
	c.users[user]++
	return running, true
}

func (c *checks) leave(t tag, user chat.UserID, done *check) {
	c.mu.Lock()
	delete(c.running, t)
	if c.users[user]--; c.users[user] == 0 {
		delete(c.users, user)
	}
	c.mu.Unlock()
	close(done.done)
}
