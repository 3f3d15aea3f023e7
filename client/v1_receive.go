package client

import (
	"context"
	"errors"
	"sync"

	"multichat/internal/chat"
)

// Receive gives take the user's messages as they come, one at a time, on the goroutine that called Receive. Of each, the
// seq, the id and the mailbox are zero.
//
// A message counts as delivered once take has returned nil, and not before: one that was being taken when the process
// died comes again. The system waits two seconds for that, so take should be quick, or a message comes twice. When take
// returns an error, the message stays with the system, and Receive ends with that error; [ErrStop] takes the message and
// ends Receive with nil.
//
// Otherwise Receive goes on until ctx ends, and returns ctx's error. It moves on to the next proxy when the one in use
// refuses three polls in a row, and when a Send has moved on; after the last comes the first again. Only if all have
// refused before one was ever reached does it return [ErrUnreachable], since then an address is likely to be wrong.
func (c *V1) Receive(ctx context.Context, take func(chat.Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	r := &receiver{
		V1:       c,
		arrivals: make(chan arrival),
		slots:    make(chan struct{}, maxConns),
	}
	defer r.running.Wait() // after the cancel below
	defer cancel()
	failed := make(chan error, 1)
	r.running.Go(func() { failed <- r.attendAll(ctx) })
	for {
		select {
		case err := <-failed:
			return err
		case a := <-r.arrivals:
			err := a.give(take)
			if errors.Is(err, ErrStop) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

// receiver is one run of Receive: a goroutine that polls, one that accepts, and one for each connection accepted.
type receiver struct {
	*V1
	running  sync.WaitGroup // all of the goroutines
	arrivals chan arrival   // from the connections to Receive; unbuffered, for what nobody took must not look delivered
	slots    chan struct{}  // filled by each connection that is open

	// Owned by the goroutine that polls.
	reached bool   // the proxy attended let a poll pass without refusing it
	port    uint16 // where messages are brought; kept, so that the next proxy is told of the same device; 0 at first
}

// arrival is a message on its way from its connection to Receive's caller.
type arrival struct {
	message chat.Message
	taken   chan bool // gets one value; it has room for it
}

// give lets take have the message, and tells the connection how that ended, even if by a panic.
func (a arrival) give(take func(chat.Message) error) error {
	taken := false
	defer func() { a.taken <- taken }()
	err := take(a.message)
	taken = err == nil || errors.Is(err, ErrStop)
	return err
}
