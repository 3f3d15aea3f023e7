package server

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// writer commits the messages for one shard: one batch at a time, and what gathers meanwhile is the next one. A message
// whose shard does not answer is held until its deadline and tried again under its id, which makes that harmless.
type writer struct {
	shard chat.ShardNumber
	store Store
	lanes *lanes
	log   *slog.Logger
	queue *batcher[*write]
	texts room

	onCommit func([]chat.Message) // called with what was newly stored, in seq order
}

// Bounds of what waits for a shard, beside maxWriteBytes: a message beyond them is answered busy. And bounds of a batch.
const (
	maxWrites      = 8192
	batchRows      = 256
	batchBytes     = 1 << 20              // a batch ends with the message that passes this
	commitPatience = 2 * time.Millisecond // for as many as were stored at once before
	appendTimeout  = 5 * time.Second
	minAppendRetry = 20 * time.Millisecond
	maxAppendRetry = time.Second
)

// What the log says when a shard's commits begin to fail, and when they no longer do.
const (
	shardTakesNothing = "the shard takes no messages; they are held for their senders"
	shardTakesAgain   = "the shard takes messages again"
)

func newWriter(shard chat.ShardNumber, store Store, lanes *lanes, log *slog.Logger) *writer {
	w := &writer{shard: shard, store: store, lanes: lanes, log: log, queue: newBatcher[*write](maxWrites, batchRows)}
	w.queue.patience = commitPatience
	return w
}

// offer queues a write, or reports false when too much is queued. Only lanes call it.
func (w *writer) offer(x *write) bool {
	if !w.texts.take(x.message.Text) {
		return false
	}
	if !w.queue.offer(x) {
		w.texts.free(x.message.Text)
		return false
	}
	return true
}

// serve commits batches until ctx ends. Every write that was offered is answered by then.
func (w *writer) serve(ctx context.Context) {
	var failing outage
	w.queue.run(ctx, func(ctx context.Context, batch []*write) {
		for len(batch) > 0 {
			n := fits(batch)
			now, later := apart(batch[:n])
			w.commit(ctx, now, &failing)
			batch = append(later, batch[n:]...)
		}
	})
}

// fits is how many of the writes go into one batch by their bytes: at least one.
func fits(batch []*write) int {
	bytes := 0
	for i, x := range batch {
		if bytes += len(x.message.Text); bytes > batchBytes && i > 0 {
			return i
		}
	}
	return len(batch)
}

// commit stores a batch, trying again until all of it is answered or another writer's.
func (w *writer) commit(ctx context.Context, batch []*write, failing *outage) {
	for retry := minAppendRetry; ; retry = min(2*retry, maxAppendRetry) {
		if batch = w.begin(batch); len(batch) == 0 {
			return
		}
		err := w.try(ctx, batch)
		if err == nil {
			failing.report(w.log, nil, shardTakesNothing, shardTakesAgain)
			return
		}
		for _, x := range batch {
			x.failed(err)
		}
		switch {
		case ctx.Err() != nil:
			w.refuse(batch)
			return
		case errors.Is(err, chat.ErrMoved):
			batch = w.parkMoved(batch)
		default:
			failing.report(w.log, err, shardTakesNothing, shardTakesAgain)
		}
		pause(ctx, retry)
	}
}

// begin says of the writes that the shard is about to get them. It leaves out those that must not get there: nobody
// waits for them any more, or their mailbox is leaving.
func (w *writer) begin(batch []*write) []*write {
	live := make([]*write, 0, len(batch))
	for _, x := range batch {
		switch {
		case x.lane.leaving.Load():
			w.lanes.park(x)
		case x.hand():
			live = append(live, x)
		default:
			w.release(x)
		}
	}
	return live
}

// parkMoved parks the writes whose mailboxes are not on this shard any more, and returns the others: a change of the map
// fails the whole batch.
func (w *writer) parkMoved(batch []*write) (stay []*write) {
	for _, x := range batch {
		if w.store.Locate(x.message.To) == w.shard && !x.lane.leaving.Load() {
			stay = append(stay, x)
		} else {
			w.lanes.park(x)
		}
	}
	return stay
}

// try makes one attempt to store a batch and answers its senders if that succeeds.
func (w *writer) try(ctx context.Context, batch []*write) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	j := join(batch)
	if faults.OKBeforeCommit { // the mistake: the senders need not wait for the disk
		okBeforeCommit(ctx, w.shard, batch)
	}
	stored, err := w.store.Append(ctx, w.shard, j.submissions)
	if err != nil {
		return err
	}
	if fresh := freshMessages(j.submissions, stored); len(fresh) > 0 {
		w.onCommit(fresh)
	}
	for i, x := range batch {
		w.release(x)
		x.finish(j.answer(i, stored))
	}
	return nil
}

func freshMessages(batch []chat.Submission, stored []chat.Stored) []chat.Message {
	fresh := make([]chat.Message, 0, len(batch))
	for i, s := range stored {
		if s.Err == nil && !s.Existed {
			m := batch[i]
			fresh = append(fresh, chat.Message{
				Seq: s.Seq, ID: m.ID, From: m.From, FromName: m.FromName, To: m.To, Text: m.Text, Sent: m.Sent})
		}
	}
	return fresh
}

func (w *writer) refuse(batch []*write) {
	for _, x := range batch {
		w.release(x)
		x.refuse(errNotStored)
	}
}

// release says that the writer is done with a write.
func (w *writer) release(x *write) {
	w.texts.free(x.message.Text)
	w.lanes.leave(x)
}

// pause waits for about d, so that those who wait for the same do not come back together, or until ctx ends. A d of 0 is
// none.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + rand.N(d+1)):
	}
}
