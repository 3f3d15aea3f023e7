package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// record is a service that notes when it has ended. It needs some time for that, so that an overlap would show.
func record(name string, ended *[]string) service {
	return service{name, func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second)
		*ended = append(*ended, name)
		return nil
	}}
}

var silent = slog.New(slog.DiscardHandler)

func TestServicesEndFromTheLastToTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var ended []string
		err := serveAll(ctx, silent, record("gossip", &ended), record("server", &ended), record("edge", &ended))
		if want := []string{"edge", "server", "gossip"}; err != nil || !slices.Equal(ended, want) {
			t.Errorf("ended %q with %v; want %q", ended, err, want)
		}
	})
}

func TestAServiceThatFailsEndsTheOthersAndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the socket is gone")
		var ended []string
		err := serveAll(t.Context(), silent, record("gossip", &ended),
			service{"edge", func(context.Context) error { return broken }}, record("drain", &ended))
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "edge: ") {
			t.Errorf("got %v; want the edge's error", err)
		}
		if want := []string{"drain", "gossip"}; !slices.Equal(ended, want) {
			t.Errorf("ended %q; want %q", ended, want)
		}
	})
}

func TestAServiceThatEndsByItselfIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := serveAll(t.Context(), silent, service{"gossip", func(context.Context) error { return nil }})
		if err == nil || err.Error() != "gossip ended by itself" {
			t.Errorf("got %v", err)
		}
	})
}

// Whoever sent the signal does not wait for ever.
func TestAServiceThatDoesNotEndIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		stuck := make(chan struct{})
		begin := time.Now()
		err := serveAll(ctx, silent, service{"gossip", func(ctx context.Context) error { <-ctx.Done(); return nil }},
			service{"edge", func(context.Context) error { <-stuck; return nil }})
		if took := time.Since(begin); err != nil || took != stopTime {
			t.Errorf("returned %v after %v; want nil after %v", err, took, stopTime)
		}
		close(stuck)
	})
}
