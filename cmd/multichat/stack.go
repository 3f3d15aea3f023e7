package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// service is one part of a node: run works until its ctx ends and returns when everything it started has ended.
type service struct {
	name string
	run  func(ctx context.Context) error
}

// stopTime is how long a node may take to end in order. Then it ends all the same: whoever sent the signal waits.
const stopTime = 9 * time.Second

// serveAll runs services that rest on each other, each on those before it. When ctx ends, or one of them ends by itself,
// they are stopped from the last to the first, each after the one that rests on it has ended. The error is that of the
// service that ended by itself.
func serveAll(ctx context.Context, log *slog.Logger, services ...service) error {
	type ending struct {
		service int
		err     error
	}
	ends := make(chan ending, len(services))
	stops := make([]context.CancelFunc, len(services))
	for i, s := range services {
		var run context.Context
		run, stops[i] = context.WithCancel(context.WithoutCancel(ctx))
		go func() { ends <- ending{i, s.run(run)} }() // each is received below
	}
	ended := make([]bool, len(services))
	var failure error
	take := func(e ending) {
		ended[e.service] = true
		if e.err != nil && failure == nil {
			failure = fmt.Errorf("%s: %w", services[e.service].name, e.err)
		}
	}
	select {
	case <-ctx.Done():
	case e := <-ends:
		take(e)
		if failure == nil && ctx.Err() == nil {
			failure = fmt.Errorf("%s ended by itself", services[e.service].name)
		}
	}
	deadline := time.After(stopTime)
	for i := len(services) - 1; i >= 0; i-- {
		stops[i]()
		for !ended[i] {
			select {
			case e := <-ends:
				take(e)
			case <-deadline:
				log.Warn("stopping took too long; ending all the same", "still_running", services[i].name)
				for _, stop := range stops[:i] {
					stop()
				}
				return failure
			}
		}
	}
	return failure
}
