package server

import (
	"context"
	"time"
)

// batcher turns single requests into batches: what gathers while one batch is under way is the next one. So under load
// the price of a query or a commit is shared, and without load nothing waits.
type batcher[T any] struct {
	queue chan T
	max   int           // requests in one batch
	pause time.Duration // for the requests of a crowd to come, at most; zero: none
}

// A batch of crowd requests or more is a sign that many ask again and again. They were all answered at once, and come back one by one;
// if the first did not wait for others, it would have a batch, and most of its price, to itself. So the next batch waits until
// as many are there, which is looked at once in a crowdStep, or for its pause.
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
	for last := 0; ; {
		select {
		case first := <-b.queue:
			b.await(last)
			batch := b.gather(first)
			last = len(batch)
			do(ctx, batch)
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

// await waits for a crowd, if the last batch was of one.
func (b *batcher[T]) await(last int) {
	if last < crowd {
		return
	}
	for end := time.Now().Add(b.pause); len(b.queue)+1 < last && time.Now().Before(end); {
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
