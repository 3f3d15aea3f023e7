package chaos

import (
	"context"
	"errors"
	"time"

	"multichat/internal/checker"
)

// Clients are what writes and reads in a run: a [Load] of this process, or loads of others.
type Clients interface {
	Begin(ctx context.Context) error // all clients read, and are announced, when it returns
	Send()                           // they send, until Pause
	Pause()                          // nobody sends anything new
	End() error                      // the error is that of one that could not go on
}

// Run is one run: clients write while the faults of a schedule are done to a system.
type Run struct {
	Clients  Clients
	Recorder *Recorder
	Journal  Journal // takes the faults: the Recorder, or what puts records in order for it
	Schedule []Fault
	System   System
	Settle   time.Duration                    // until everybody has everything, at most
	Tell     func(format string, args ...any) // tells of the progress, now and then
}

const (
	beginTimeout = time.Minute
	before       = 3 * time.Second // of sending without faults
	after        = 3 * time.Second // the same at the end
	tellEvery    = 10 * time.Second
)

// Do does the run, and tells what became of it. It ends the run's Recorder.
func (r Run) Do(ctx context.Context) (checker.Report, error) {
	beginning, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	if err := r.Clients.Begin(beginning); err != nil {
		err = errors.Join(err, r.Clients.End())
		_, unkept := r.Recorder.Close()
		return checker.Report{}, errors.Join(err, unkept)
	}
	telling, stop := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		r.tell(telling)
	}()
	r.Clients.Send()
	sleep(ctx, before)
	inflicted := Inflict(ctx, r.Schedule, r.Journal, r.System)
	sleep(ctx, after)
	r.Clients.Pause()
	r.settle(ctx)
	ended := r.Clients.End()
	stop()
	<-told
	report, err := r.Recorder.Close()
	return report, errors.Join(inflicted, ended, err)
}

// settle returns when everything is answered and shown, or it has taken too long.
func (r Run) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	for ctx.Err() == nil && r.Recorder.Waiting() > 0 {
		sleep(ctx, 500*time.Millisecond)
	}
	// What comes twice comes late, too.
	sleep(ctx, 3*time.Second)
}

func (r Run) tell(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			acked, delivered := r.Recorder.Progress()
			r.Tell("so far %d messages were acknowledged, and %d times one was shown", acked, delivered)
		}
	}
}
