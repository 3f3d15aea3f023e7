package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"multichat/internal/checker"
)

// Fault is something that is done to one part of the system for a while.
type Fault struct {
	At     time.Duration // since faults began
	Kind   string        // Kill, Stop or End
	Target string        // such as server-2
	For    time.Duration // then it is made whole again
}

// Kinds of faults.
const (
	Kill = "kill" // SIGKILL; started again after For
	Stop = "stop" // SIGSTOP, and SIGCONT after For
	End  = "end"  // SIGTERM; started again For after its end
)

func (f Fault) String() string {
	return fmt.Sprintf("%6.1f s  %-4s %-9s for %.1f s", f.At.Seconds(), f.Kind, f.Target, f.For.Seconds())
}

// class is what a target is, such as server.
func class(target string) string { return strings.TrimRight(target, "-0123456789") }

// Filter says which faults there may be: names of kinds (kill), of classes of targets (mysql) or both (kill-server). An
// empty one allows all.
type Filter []string

func (f Filter) allows(kind, target string) bool {
	return len(f) == 0 || slices.ContainsFunc(f, func(name string) bool {
		return name == kind || name == class(target) || name == kind+"-"+class(target)
	})
}

// Bounds of a schedule.
const (
	meanPause   = 5 * time.Second // between the beginnings of faults
	twinShare   = 5               // one in so many comes together with another one
	recoverTime = 3 * time.Second // for which a target is left alone after a fault
)

// Schedule makes the faults of a run of this length: the same of the same seed, targets and filter.
func Schedule(seed uint64, length time.Duration, targets []string, filter Filter) (faults []Fault) {
	r := rand.New(rand.NewPCG(seed, 1))
	free := make(map[string]time.Duration) // when each target may be struck again
	strike := func(at time.Duration) {
		var possible []Fault
		for _, target := range targets {
			for _, kind := range []string{Kill, Stop, End} {
				if free[target] <= at && filter.allows(kind, target) {
					possible = append(possible, Fault{At: at, Kind: kind, Target: target})
				}
			}
		}
		if len(possible) == 0 {
			return
		}
		f := possible[r.IntN(len(possible))]
		f.For = time.Duration(200+r.IntN(2800)) * time.Millisecond
		if f.Kind == Stop {
			f.For = time.Duration(1000+r.IntN(4000)) * time.Millisecond
		}
		if f.At+f.For > length {
			return
		}
		free[f.Target] = f.At + f.For + recoverTime
		faults = append(faults, f)
	}
	for at := time.Duration(0); at < length; at += meanPause/2 + time.Duration(r.Int64N(int64(meanPause))) {
		strike(at)
		if r.IntN(twinShare) == 0 {
			strike(at)
		}
	}
	return faults
}

// System is done to what a schedule says. For one target its methods are called one after the other.
type System interface {
	Begin(Fault) error
	Heal(Fault) error // returns when the target is whole again
}

// Inflict does the faults of a schedule to a system, and returns when all are healed. Faults that a canceled ctx leaves out
// are not done.
func Inflict(ctx context.Context, schedule []Fault, recorder *Recorder, system System) error {
	var group sync.WaitGroup
	begun := time.Now()
	turns := make(map[string]*sync.Mutex)
	errs := make([]error, len(schedule))
	for i, f := range schedule {
		if sleep(ctx, f.At-time.Since(begun)); ctx.Err() != nil {
			break
		}
		turn := turns[f.Target]
		if turn == nil {
			turn = new(sync.Mutex)
			turns[f.Target] = turn
		}
		group.Go(func() {
			turn.Lock()
			defer turn.Unlock()
			errs[i] = inflict(ctx, f, recorder, system)
		})
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("%v: %w", schedule[i], err)
		}
	}
	return nil
}

func inflict(ctx context.Context, f Fault, recorder *Recorder, system System) error {
	recorder.Add(checker.Record{Kind: checker.FaultBegin, Fault: f.Kind, Target: f.Target})
	if err := system.Begin(f); err != nil {
		return err
	}
	sleep(ctx, f.For)
	if err := system.Heal(f); err != nil {
		return err
	}
	recorder.Add(checker.Record{Kind: checker.FaultEnd, Fault: f.Kind, Target: f.Target})
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
