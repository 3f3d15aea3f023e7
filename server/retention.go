package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// How long messages are kept, delivered or not, and devices that nobody sees. A stored message is also what a retry of
// it is known by, hence the least time.
const (
	DefaultRetention = 30 * 24 * time.Hour
	MinRetention     = 24 * time.Hour
)

// CheckRetention says what is wrong with a setting of [Config.Retention]; 0, the default, is right.
func CheckRetention(d time.Duration) error {
	if d != 0 && d < MinRetention {
		return fmt.Errorf("messages cannot be kept for %v only: a message sent again is known by the stored one, so %v is the least",
			d, MinRetention)
	}
	return nil
}

// retention deletes what is too old from one shard, behind everybody's back: a few rows at a time, with pauses.
//
// Every server does this to every shard. They begin at random moments, so that one of them finds nearly everything and
// the others nearly nothing.
type retention struct {
	shard chat.ShardNumber
	store Retention
	log   *slog.Logger
	keep  time.Duration
}

const (
	// The times between runs. Each is a random one about as long, see pause.
	retentionFirst = 10 * time.Minute // after the start
	retentionEvery = time.Hour
	retentionRetry = time.Minute // after a failure

	// A chunk is one transaction, and may stand in the way of commits. After it the shard is the writers' for about
	// retentionRest times as long.
	retentionChunk = 500 // rows at most
	retentionRest  = 9
)

// serve deletes until ctx ends.
func (r *retention) serve(ctx context.Context) {
	var failing outage
	for next := retentionFirst; ; {
		pause(ctx, next)
		if ctx.Err() != nil {
			return
		}
		err := r.run(ctx)
		if ctx.Err() != nil {
			return
		}
		failing.report(r.log, err, "old messages cannot be deleted; the shard grows meanwhile", "old messages are deleted again")
		next = retentionEvery
		if err != nil {
			next = retentionRetry
		}
	}
}

// run deletes all that is too old now.
func (r *retention) run(ctx context.Context) error {
	began, before := time.Now(), faults.Now().Add(-r.keep)
	messages, err := r.deleteAll(ctx, before, r.store.Prune)
	devices := 0
	if err == nil {
		devices, err = r.deleteAll(ctx, before, r.store.ForgetDevices)
	}
	if messages+devices > 0 {
		r.log.Info("what was too old is deleted", "messages", messages, "devices", devices, "older_than", r.keep,
			"took", time.Since(began).Round(time.Millisecond))
	}
	return err
}

// deleteChunk is a method of Retention.
type deleteChunk func(ctx context.Context, shard chat.ShardNumber, before time.Time, limit int) (int, error)

// deleteAll deletes chunks until one finds nothing, and returns how many rows that were.
func (r *retention) deleteAll(ctx context.Context, before time.Time, chunk deleteChunk) (total int, err error) {
	for {
		began := time.Now()
		deleted, err := r.deleteOnce(ctx, before, chunk)
		total += deleted
		if err != nil || deleted == 0 {
			return total, err
		}
		pause(ctx, retentionRest*time.Since(began))
	}
}

func (r *retention) deleteOnce(ctx context.Context, before time.Time, chunk deleteChunk) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return chunk(ctx, r.shard, before, retentionChunk)
}
