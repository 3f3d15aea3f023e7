package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"multichat/internal/chat"
)

// eventEngine is version 2: each shard has a writer, and what gathers there while one batch commits is the next one.
type eventEngine struct {
	writers map[chat.ShardNumber]*writer
	lanes   *lanes
}

func newEventEngine(store Store, log *slog.Logger, committed commits) *eventEngine {
	e := &eventEngine{writers: make(map[chat.ShardNumber]*writer)}
	e.lanes = newLanes(func(m chat.Mailbox) *writer { return e.writers[store.Locate(m)] })
	for _, number := range store.Shards() {
		w := newWriter(number, store, e.lanes, log.With("shard", store.Name(number)))
		w.onCommit = func(batch []chat.Message) { committed(number, batch) }
		e.writers[number] = w
	}
	return e
}

func (e *eventEngine) serve(ctx context.Context) {
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	var group sync.WaitGroup
	for _, w := range e.writers {
		group.Go(func() { w.serve(work) })
	}
	<-ctx.Done()
	e.lanes.close()
	endWork() // whatever is queued now is the last
	group.Wait()
}

func (e *eventEngine) submit(m chat.Submission, q *sequence, deadline time.Time, answer func(chat.Stored)) *write {
	x := newWrite(m, q, deadline, answer)
	if why := e.lanes.offer(x); why != nil {
		x.reject(why)
	}
	return x
}
