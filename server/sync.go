package server

import (
	"context"
	"errors"
	"log/slog"

	"multichat/internal/chat"
	"multichat/internal/crew"
)

// syncEngine is version 1: each message by itself, in a transaction of its own, in the goroutine of the request that
// brought it. There is no queue and no batch, so this is where to read what an engine does; the other does the same
// for many at once.
type syncEngine struct {
	store     Store
	committed commits
	shards    map[chat.ShardNumber]*syncShard

	working context.Context // ends with serve
	stop    context.CancelFunc
}

// syncShard is what the senders to one shard share.
type syncShard struct {
	number  chat.ShardNumber
	log     *slog.Logger
	senders *crew.Crew // those that are here or wait for their turn; one more is answered busy
	texts   room
	turn    chan struct{} // one slot: who has filled it calls the store, alone, and owns failing
	failing outage
}

func newSyncEngine(store Store, log *slog.Logger, committed commits) *syncEngine {
	e := &syncEngine{store: store, committed: committed, shards: make(map[chat.ShardNumber]*syncShard)}
	for _, number := range store.Shards() {
		e.shards[number] = &syncShard{number: number, log: log.With("shard", store.Name(number)),
			senders: crew.New(maxWrites), turn: make(chan struct{}, 1)}
	}
	e.working, e.stop = context.WithCancel(context.Background())
	return e
}

func (e *syncEngine) serve(ctx context.Context) {
	<-ctx.Done()
	e.stop()
	for _, sh := range e.shards {
		<-sh.senders.Close()
	}
}

func (e *syncEngine) submit(ctx context.Context, m chat.Submission) (stored chat.Stored) {
	sh := e.shards[e.store.Locate(m.To)]
	if !sh.texts.take(m.Text) {
		return chat.Stored{Err: errWritesBusy}
	}
	defer sh.texts.free(m.Text)
	switch sh.senders.Do(func() { stored = e.hold(ctx, m) }) {
	case crew.ErrFull:
		return chat.Stored{Err: errWritesBusy}
	case crew.ErrClosed:
		return chat.Stored{Err: errNotStored}
	}
	return stored
}

// hold tries until the message is stored, or its sender or the server gives up. After an attempt that may have stored it,
// it is not said any more that it was not.
func (e *syncEngine) hold(ctx context.Context, m chat.Submission) chat.Stored {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.working, cancel)()
	refusal := errNotStored
	for ctx.Err() == nil {
		sh := e.shards[e.store.Locate(m.To)]
		select {
		case sh.turn <- struct{}{}:
		case <-ctx.Done():
			return chat.Stored{Err: refusal}
		}
		stored, err := e.insist(ctx, sh, m, &refusal)
		<-sh.turn
		if err == nil {
			return stored
		}
	}
	return chat.Stored{Err: refusal}
}

// insist tries until the message is stored, or it is not the shard's any more, or ctx ends. It keeps its turn meanwhile:
// whoever went by would be stored before it, though it was sent after.
func (e *syncEngine) insist(ctx context.Context, sh *syncShard, m chat.Submission, refusal **chat.Error) (chat.Stored, error) {
	for retry := minAppendRetry; ; retry = min(2*retry, maxAppendRetry) {
		stored, err := e.try(ctx, sh, m)
		switch {
		case err == nil, errors.Is(err, chat.ErrMoved):
			return stored, err
		case chat.AsError(err).Code != chat.CodeUnavail:
			*refusal = errInDoubt
		}
		if pause(ctx, retry); ctx.Err() != nil {
			return chat.Stored{}, err
		}
	}
}

// try makes one attempt, as a batch of one.
func (e *syncEngine) try(ctx context.Context, sh *syncShard, m chat.Submission) (chat.Stored, error) {
	attempt, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	batch := []chat.Submission{m}
	stored, err := e.store.Append(attempt, sh.number, batch)
	if !errors.Is(err, chat.ErrMoved) && !errors.Is(ctx.Err(), context.Canceled) {
		sh.failing.report(sh.log, err, shardTakesNothing, shardTakesAgain)
	}
	if err != nil {
		return chat.Stored{}, err
	}
	if fresh := freshMessages(batch, stored); len(fresh) > 0 {
		e.committed(sh.number, fresh)
	}
	return stored[0], nil
}
