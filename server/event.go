package server

import (
	"context"
	"log/slog"
	"sync"

	"multichat/internal/chat"
)

// eventEngine is version 2: each shard has a writer, and what gathers there while one batch commits is the next one.
type eventEngine struct {
	placement Placement
	writers   map[chat.ShardNumber]*writer
}

func newEventEngine(store Store, log *slog.Logger, committed commits) *eventEngine {
	e := &eventEngine{placement: store, writers: make(map[chat.ShardNumber]*writer)}
	for _, number := range store.Shards() {
		w := newWriter(number, store, log.With("shard", store.Name(number)))
		w.onCommit = func(batch []chat.Message) { committed(number, batch) }
		w.onMoved = e.rewrite
		e.writers[number] = w
	}
	return e
}

func (e *eventEngine) serve(ctx context.Context) {
	var group sync.WaitGroup
	for _, w := range e.writers {
		group.Go(func() { w.serve(ctx) })
	}
	group.Wait()
}

func (e *eventEngine) submit(ctx context.Context, m chat.Submission) chat.Stored {
	x := newWrite(ctx, m)
	if !e.offer(x) {
		return chat.Stored{Err: errWritesBusy}
	}
	return x.wait(ctx)
}

// rewrite takes a message to the shard where its mailbox is now.
func (e *eventEngine) rewrite(x *write) {
	if !e.offer(x) {
		x.refuse(errWritesBusy)
	}
}

func (e *eventEngine) offer(x *write) bool {
	return e.writers[e.placement.Locate(x.message.To)].offer(x)
}
