package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/crew"
	"multichat/internal/faults"
)

// syncEngine is version 1: each message by itself, in a transaction and a goroutine of its own. There is no queue and no
// batch, so this is where to read what an engine does; the other does the same for many at once.
type syncEngine struct {
	store     Store
	committed commits
	shards    map[chat.ShardNumber]*syncShard

	working context.Context // ends with serve
	stop    context.CancelFunc

	mu   sync.Mutex
	last map[chat.Mailbox]chan struct{} // closed when the last of those in line for a mailbox has left
}

// syncShard is what the messages for one shard share.
type syncShard struct {
	number  chat.ShardNumber
	log     *slog.Logger
	senders *crew.Crew // goroutines with a message for the shard; one more is answered busy
	texts   room
	turn    chan struct{} // one slot: who has filled it calls the store, alone, and owns failing
	failing outage
}

func newSyncEngine(store Store, log *slog.Logger, committed commits) *syncEngine {
	e := &syncEngine{store: store, committed: committed, shards: make(map[chat.ShardNumber]*syncShard),
		last: make(map[chat.Mailbox]chan struct{})}
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

func (e *syncEngine) submit(m chat.Submission, q *sequence, deadline time.Time, answer func(chat.Stored)) *write {
	x := newWrite(m, q, deadline, answer)
	sh := e.shards[e.store.Locate(m.To)]
	if !sh.texts.take(m.Text) {
		x.reject(errWritesBusy)
		return x
	}
	switch e.start(sh, x) {
	case nil:
		return x
	case crew.ErrFull:
		x.reject(errWritesBusy)
	default:
		x.reject(errNotStored)
	}
	sh.texts.free(m.Text)
	return x
}

// start takes the message's place in line before it returns, and waits there in a goroutine.
func (e *syncEngine) start(sh *syncShard, x *write) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, left := e.last[x.message.To], make(chan struct{})
	err := sh.senders.Run(func() {
		if before != nil {
			<-before
		}
		e.hold(x)
		sh.texts.free(x.message.Text)
		e.leave(x.message.To, left)
	})
	if err == nil {
		e.last[x.message.To] = left
	}
	return err
}

func (e *syncEngine) leave(m chat.Mailbox, left chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last[m] == left {
		delete(e.last, m)
	}
	close(left)
}

// hold tries until the message is stored, or its sender or the server gives up.
func (e *syncEngine) hold(x *write) {
	for e.working.Err() == nil {
		sh := e.shards[e.store.Locate(x.message.To)]
		select {
		case sh.turn <- struct{}{}:
		case <-e.working.Done():
			continue
		}
		stored, err := e.insist(sh, x)
		<-sh.turn
		if err == nil {
			x.finish(stored)
			return
		}
	}
	x.refuse(errNotStored)
}

// insist tries until the message is stored, or is not the shard's any more, or nobody waits for it, or the server ends.
// It keeps its turn meanwhile, as a batch of the event engine does.
func (e *syncEngine) insist(sh *syncShard, x *write) (chat.Stored, error) {
	for retry := minAppendRetry; x.hand(); retry = min(2*retry, maxAppendRetry) {
		if faults.OKBeforeCommit { // the mistake: the sender need not wait for the disk
			okBeforeCommit(e.working, sh.number, []*write{x})
		}
		stored, err := e.try(sh, x.message)
		if err == nil {
			return stored, nil
		}
		x.failed(err)
		moved := errors.Is(err, chat.ErrMoved) && e.store.Locate(x.message.To) != sh.number
		if moved || e.working.Err() != nil {
			return chat.Stored{}, err
		}
		pause(e.working, retry)
	}
	return chat.Stored{}, nil // it has its answer
}

// try makes one attempt, as a batch of one.
func (e *syncEngine) try(sh *syncShard, m chat.Submission) (chat.Stored, error) {
	ctx, cancel := context.WithTimeout(e.working, appendTimeout)
	defer cancel()
	batch := []chat.Submission{m}
	stored, err := e.store.Append(ctx, sh.number, batch)
	if !errors.Is(err, chat.ErrMoved) && e.working.Err() == nil {
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
