package server

import (
	"context"
	"time"
)

// batcher turns single requests into batches: what gathers while one batch is under way is the next one. So under load
// the price of a query or a commit is shared, and without load nothing waits.
type batcher[T any] struct {
	queue chan T
	max   int // requests in one batch

	// A batch of crowd requests or more is a sign that many ask again and again. They were all answered at once, and come
	// back one by one; if the first did not wait for others, it would have a batch, and most of its price, to itself. So
	// the next one waits until as many are there, but no longer than patience after the last one's end, nor longer than
	// that took: a wait is not to cost more than what it saves.
	patience time.Duration // zero: nothing waits

	// Of the last batch.
	requests int
	took     time.Duration
	ended    time.Time
}

const (
	crowd     = 8
	crowdStep = 250 * time.Microsecond
)

func newBatcher[T any](queue, batch int) *batcher[T] {
	return &batcher[T]{queue: make(chan T, queue), max: batch}
}

// offer hands a request over, or reports false when the queue is full.
func (b *batcher[T]) offer(request T) bool {
	select {
	case b.queue <- request:
		return true
	default:
		return false
	}
}

// run calls do with one batch after another until ctx ends. Then it calls do, with the ended context, for what is still
// queued, so that nobody waits for an answer in vain.
func (b *batcher[T]) run(ctx context.Context, do func(context.Context, []T)) {
	for {
		select {
		case first := <-b.queue:
			b.awaitCrowd()
			batch := b.gather(first)
			began := time.Now()
			do(ctx, batch)
			b.requests, b.ended = len(batch), time.Now()
			b.took = b.ended.Sub(began)
		case <-ctx.Done():
			for {
				select {
				case first := <-b.queue:
					do(ctx, b.gather(first))
				default:
					return
				}
			}
		}
	}
}

// awaitCrowd waits for the crowd of the last batch, if that was one.
func (b *batcher[T]) awaitCrowd() {
	if b.requests < crowd {
		return
	}
	for end := b.ended.Add(min(b.patience, b.took)); len(b.queue)+1 < b.requests && time.Now().Before(end); {
		time.Sleep(crowdStep)
	}
}

func (b *batcher[T]) gather(first T) []T {
	batch := []T{first}
	for len(batch) < b.max {
		select {
		case next := <-b.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}
