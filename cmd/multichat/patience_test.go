package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/kong"

	"multichat/internal/chat"
	"multichat/shardstore"
)

var errDown = fmt.Errorf("shard a: %w", shardstore.ErrUnreachable)

// answers is what shards say, one after another, each in a millisecond; the last is said for ever.
func answers(tries *int, errs ...error) shardWork {
	return func(context.Context, []shardstore.Spec, shardstore.Options) error {
		time.Sleep(time.Millisecond) // of the test's own clock
		*tries++
		return errs[min(*tries, len(errs))-1]
	}
}

func TestShardsThatDoNotAnswerAreTriedAgain(t *testing.T) {
	busy := chat.Errorf(chat.CodeUnavail, "shard a is busy")
	for _, c := range []struct {
		name  string
		says  []error
		code  int
		tries int
	}{
		{"until they answer", []error{errDown, busy, nil}, exitDone, 3},
		{"for ten seconds", []error{errDown}, exitUnreachable, 10},
		{"until something else is wrong", []error{errDown, shardstore.ErrRefused}, exitFailure, 2},
		{"not when something else is wrong", []error{shardstore.ErrNotFit}, exitFailure, 1},
		{"not when they are given wrongly", []error{shardstore.ErrSpec}, exitUsage, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, tries := time.Now(), 0
				var said bytes.Buffer
				term := terminal{err: &said}
				err := shardFlags{}.once(t.Context(), term, answers(&tries, c.says...))
				if code := report(term, new(kong.Context), err); code != c.code || tries != c.tries || time.Since(begin) > shardTime {
					t.Errorf("exit code %d with %v after %d tries and %v; want %d after %d", code, err, tries, time.Since(begin),
						c.code, c.tries)
				}
				if lines := strings.Count(said.String(), "\n"); (lines == 1) != (err != nil) {
					t.Errorf("it said %q", said.String())
				}
			})
		})
	}
}

// A try that hangs, and is cut off when the time is over, says less than the one before it.
func TestTheReasonIsThatOfTheLastTryThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := shardFlags{}.once(t.Context(), terminal{}, func(ctx context.Context, _ []shardstore.Spec, _ shardstore.Options) error {
			if tries++; tries == 1 {
				return fmt.Errorf("refused: %w", errDown)
			}
			<-ctx.Done()
			return fmt.Errorf("%w: %w", shardstore.ErrUnreachable, ctx.Err())
		})
		if err == nil || !strings.HasPrefix(err.Error(), "refused: ") {
			t.Errorf("got %v; want the first reason", err)
		}
	})
}

func TestAServerThatWaitsSaysSoOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		a := &admin{}
		say := waitingAloud(slog.New(slog.NewTextHandler(&logged, nil)), a)
		for range 150 {
			say(errDown)
			time.Sleep(time.Second) // of the test's own clock
		}
		if lines := strings.Count(logged.String(), "level=WARN"); lines != 3 {
			t.Errorf("%d lines in 150 s; want 3, the first at once:\n%s", lines, &logged)
		}
		if err := (*a.looks.Load())()[0].err; err == nil || !strings.Contains(err.Error(), "shard a") {
			t.Errorf("not ready because of %v; want the shard named", err)
		}
	})
}

func TestAServerThatIsToldToEndWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begin, tries := time.Now(), 0
		err := shardFlags{}.patiently(ctx, func(error) { cancel() }, answers(&tries, errDown))
		if !errors.Is(err, shardstore.ErrUnreachable) || time.Since(begin) >= shardPause {
			t.Errorf("got %v after %d tries and %v", err, tries, time.Since(begin))
		}
	})
}
