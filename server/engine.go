package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"multichat/internal/chat"
)

// Engine says how a server stores what it is sent. Both keep the same promises.
type Engine uint8

const (
	EventEngine Engine = iota // what gathers while one batch commits is the next batch; the default
	SyncEngine                // each message by itself, in a transaction of its own
)

var engineNames = [...]string{"event", "sync"}

// String is the engine's name as a setting.
func (e Engine) String() string {
	if int(e) < len(engineNames) {
		return engineNames[e]
	}
	return fmt.Sprintf("engine %d", uint8(e))
}

// UnmarshalText reads the name of an engine: event or sync.
func (e *Engine) UnmarshalText(text []byte) error {
	for i, name := range engineNames {
		if string(text) == name {
			*e = Engine(i)
			return nil
		}
	}
	return fmt.Errorf("there is no engine %q: it is event or sync", text)
}

// engine stores messages, each on the shard where its mailbox is, also when that changes.
type engine interface {
	// serve works until ctx ends. What is under way then is answered soon; what is submitted later is answered at once.
	serve(ctx context.Context)

	// submit takes a message and never blocks. Of messages for one mailbox, each submitted after the call for the one
	// before has returned, those that are stored are stored in this order. Of those of one sequence, none is stored
	// behind one that was given up after it had been taken. A nil sequence is none.
	//
	// answer is called once, at the deadline at the latest, with what became of the message: by any goroutine, also
	// before submit returns. It must not block. While the shard does not answer, the message is held, and tried again
	// under its id. If that was in vain the answer is unavail where it is certain that the message is not stored and will
	// not be, else unknown. It is busy if too much is held for the shard already.
	//
	// Whoever cannot wait for the deadline any more refuses the write.
	submit(m chat.Submission, q *sequence, deadline time.Time, answer func(chat.Stored)) *write
}

// await submits a message and waits for the answer. It gives up when ctx, which has a deadline, ends.
func await(ctx context.Context, e engine, m chat.Submission) chat.Stored {
	deadline, _ := ctx.Deadline()
	answers := make(chan chat.Stored, 1)
	x := e.submit(m, nil, deadline, func(s chat.Stored) { answers <- s })
	select {
	case s := <-answers:
		return s
	case <-ctx.Done():
		x.refuse(errNotStored)
		return <-answers
	}
}

// commits is told what was newly stored on a shard: after the commit, before its senders know, in seq order.
type commits func(shard chat.ShardNumber, batch []chat.Message)

func newEngine(kind Engine, store Store, log *slog.Logger, committed commits) engine {
	if kind == SyncEngine {
		return newSyncEngine(store, log, committed)
	}
	return newEventEngine(store, log, committed)
}
