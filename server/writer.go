package server

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// writer commits the messages for one shard: one batch at a time, and what gathers meanwhile is the next one. A message
// whose shard does not answer is held until its deadline and tried again under its id, which makes that harmless.
type writer struct {
	shard chat.ShardNumber
	store Store
	log   *slog.Logger
	queue *batcher[*write]
	texts room

	onCommit func([]chat.Message) // called with what was newly stored, in seq order
	onMoved  func(*write)         // called with a message that belongs to another shard now
}

// write is one message on its way, with the sender that waits for it.
type write struct {
	message  chat.Submission
	deadline time.Time
	answer   chan chat.Stored // one slot
	progress atomic.Int32
	doubtful bool // an earlier attempt may have stored it; the writer's own
}

// newWrite makes a write whose sender waits until the deadline of ctx, which has one.
func newWrite(ctx context.Context, m chat.Submission) *write {
	deadline, _ := ctx.Deadline()
	return &write{message: m, deadline: deadline, answer: make(chan chat.Stored, 1)}
}

// How far a write has come. The sender that gives up and the writer that begins agree by one compare-and-swap.
const (
	writeWaiting   int32 = iota // no shard has seen it
	writeHanded                 // a shard may have stored it
	writeAbandoned              // its sender was told that it was not stored: it must not be
)

// Bounds of what waits for a shard, beside maxWriteBytes: a message beyond them is answered busy. And bounds of a batch.
const (
	maxWrites      = 8192
	batchRows      = 256
	batchBytes     = 1 << 20 // a batch ends with the message that passes this
	appendTimeout  = 5 * time.Second
	minAppendRetry = 20 * time.Millisecond
	maxAppendRetry = time.Second
)

var (
	errWritesBusy = chat.Errorf(chat.CodeBusy, "too many messages wait for this recipient's shard; send again later")
	errNotStored  = chat.Errorf(chat.CodeUnavail,
		"the recipient's shard does not answer; nothing was stored, send again later")
	errInDoubt = chat.Errorf(chat.CodeUnknown,
		"the recipient's shard did not answer in time; it may have stored the message, send again with the same id")
)

// What the log says when a shard's commits begin to fail, and when they no longer do.
const (
	shardTakesNothing = "the shard takes no messages; they are held for their senders"
	shardTakesAgain   = "the shard takes messages again"
)

func newWriter(shard chat.ShardNumber, store Store, log *slog.Logger) *writer {
	return &writer{shard: shard, store: store, log: log, queue: newBatcher[*write](maxWrites, batchRows)}
}

// offer queues a write, or reports false when too much is queued.
func (w *writer) offer(x *write) bool {
	if !w.texts.take(x.message.Text) {
		return false
	}
	if !w.queue.offer(x) {
		w.release(x)
		return false
	}
	return true
}

// serve commits batches until ctx ends. Every write that was offered is answered, but for those whose sender has given
// up by then.
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

// commit stores a batch, trying again until it is stored or every sender has given up.
func (w *writer) commit(ctx context.Context, batch []*write, failing *outage) {
	retry := minAppendRetry
	for {
		if batch = w.begin(batch); len(batch) == 0 {
			return
		}
		err := w.try(ctx, batch)
		if errors.Is(err, chat.ErrMoved) {
			w.rewind(batch)
			for _, x := range batch {
				w.release(x)
				w.onMoved(x)
			}
			return
		}
		if err != nil && ctx.Err() != nil {
			w.refuse(batch, chat.AsError(err))
			return
		}
		failing.report(w.log, err, shardTakesNothing, shardTakesAgain)
		if err == nil {
			return
		}
		if chat.AsError(err).Code == chat.CodeUnavail {
			w.rewind(batch)
		} else {
			doubt(batch)
		}
		pause(ctx, retry)
		retry = min(2*retry, maxAppendRetry)
	}
}

// begin marks the writes as handed to the shard, and leaves out those whose sender has given up.
func (w *writer) begin(batch []*write) []*write {
	now := time.Now()
	live := make([]*write, 0, len(batch))
	for _, x := range batch {
		if now.Before(x.deadline) && (x.progress.CompareAndSwap(writeWaiting, writeHanded) || x.doubtful) {
			live = append(live, x)
		} else {
			w.release(x)
		}
	}
	return live
}

// rewind says that the shard has certainly not stored these writes in this attempt.
func (w *writer) rewind(batch []*write) {
	for _, x := range batch {
		if !x.doubtful {
			x.progress.Store(writeWaiting)
		}
	}
}

// doubt says that the shard may have stored these writes.
func doubt(batch []*write) {
	for _, x := range batch {
		x.doubtful = true
	}
}

// try makes one attempt to store a batch and answers its senders if that succeeds.
func (w *writer) try(ctx context.Context, batch []*write) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	j := join(batch)
	stored, err := w.store.Append(ctx, w.shard, j.submissions)
	if err != nil {
		return err
	}
	for i, x := range batch {
		w.finish(x, j.answer(i, stored))
	}
	if fresh := freshMessages(j.submissions, stored); len(fresh) > 0 {
		w.onCommit(fresh)
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

func (w *writer) finish(x *write, s chat.Stored) {
	w.release(x)
	x.answer <- s
}

func (w *writer) refuse(batch []*write, err *chat.Error) {
	for _, x := range batch {
		w.release(x)
		x.refuse(err)
	}
}

// refuse answers a write that was given up before it reached its shard again. An attempt before may have stored it all
// the same, and then its sender must not be told otherwise.
func (x *write) refuse(err *chat.Error) {
	if x.doubtful {
		err = errInDoubt
	}
	x.answer <- chat.Stored{Err: err}
}

// wait returns what became of x, when ctx ends at the latest.
func (x *write) wait(ctx context.Context) chat.Stored {
	select {
	case s := <-x.answer:
		return s
	case <-ctx.Done():
	}
	if x.progress.CompareAndSwap(writeWaiting, writeAbandoned) {
		return chat.Stored{Err: errNotStored}
	}
	return chat.Stored{Err: errInDoubt}
}

func (w *writer) release(x *write) { w.texts.free(x.message.Text) }

// pause waits for about d, so that those who wait for the same do not come back together, or until ctx ends. A d of 0 is
// none.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + rand.N(d+1)):
	}
}
