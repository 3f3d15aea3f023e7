package server

import "context"

// batcher turns single requests into batches: what gathers while one batch is under way is the next one. So under load
// the price of a query or a commit is shared, and without load nothing waits.
type batcher[T any] struct {
	queue chan T
	max   int // requests in one batch
}

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
			do(ctx, b.gather(first))
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
