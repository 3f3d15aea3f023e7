package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"multichat/internal/chat"
	"multichat/shardstore"
)

const (
	// shardTime is how long a command that does one thing waits for the shards.
	shardTime = 10 * time.Second

	// shardPause is between two tries with shards that do not answer.
	shardPause = time.Second

	// sayAgain is how often a server that waits for its shards says so.
	sayAgain = time.Minute
)

// shardWork is something done with all shards.
type shardWork func(ctx context.Context, specs []shardstore.Spec, opt shardstore.Options) error

// patiently tries something with the shards until they answer or ctx ends, and tells waiting each time why they do not.
func (f shardFlags) patiently(ctx context.Context, waiting func(error), work shardWork) error {
	specs, err := f.Shard.specs()
	if err != nil {
		return err
	}
	var reason error // of the last try that was not cut off
	for {
		try, cancel := context.WithTimeout(ctx, shardTime)
		err := work(try, specs, f.options())
		cancel()
		if !isUnreachable(err) {
			return shardError(err)
		}
		if ctx.Err() == nil || reason == nil {
			reason = err
		}
		if ctx.Err() == nil {
			waiting(err)
		}
		select {
		case <-ctx.Done():
			return shardError(reason)
		case <-time.After(shardPause):
		}
	}
}

// once does one thing with the shards, which have shardTime to answer.
func (f shardFlags) once(ctx context.Context, term terminal, work shardWork) error {
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	said := !isTerminal(term.err) // a script is told once, at the end
	return f.patiently(ctx, func(err error) {
		if !said {
			said = true
			fmt.Fprintf(term.err, "multichat: waiting up to %v: %s\n", shardTime, sentence(err))
		}
	}, work)
}

// awaitStore opens all shards for a server. It waits for those that do not answer: what starts last may well be the
// database.
func (f shardFlags) awaitStore(ctx context.Context, log *slog.Logger, admin *admin) (store *shardstore.Store, err error) {
	admin.notReady(errors.New("the shards have not answered yet"))
	say := waitingAloud(log, admin)
	waited := false
	err = f.patiently(ctx, func(err error) {
		waited = true
		say(err)
	}, func(ctx context.Context, specs []shardstore.Spec, opt shardstore.Options) (err error) {
		store, err = shardstore.Open(ctx, specs, opt)
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err() // it was told to end
	case err == nil && waited:
		log.Info("the shards answer")
	}
	return store, err
}

// waitingAloud tells whoever asks why the shards are waited for, and now and then the log.
func waitingAloud(log *slog.Logger, admin *admin) func(error) {
	var said time.Time
	return func(err error) {
		reason := errors.New(sentence(err))
		admin.notReady(reason)
		if time.Since(said) >= sayAgain {
			said = time.Now()
			log.Warn("waiting for the shards", "error", reason)
		}
	}
}

// isUnreachable tells shards that may answer later from what a person must mend.
func isUnreachable(err error) bool {
	answer, ok := errors.AsType[*chat.Error](err)
	return errors.Is(err, shardstore.ErrUnreachable) || ok && answer.Code == chat.CodeUnavail
}

// shardError gives errors about shards their exit codes.
func shardError(err error) error {
	switch {
	case errors.Is(err, shardstore.ErrSpec):
		return &exitError{exitUsage, err}
	case isUnreachable(err):
		return &exitError{exitUnreachable, err}
	}
	return err
}
