package chaos

import (
	"cmp"
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
	Kind   string        // such as Kill
	Target string        // such as server-2
	For    time.Duration // then it is made whole again
}

// Kinds of faults. All but the first three need targets that are machines of their own, such as containers.
const (
	Kill = "kill" // SIGKILL; started again after For
	Stop = "stop" // SIGSTOP, and SIGCONT after For
	End  = "end"  // SIGTERM; started again For after its end

	Crash     = "crash"      // SIGKILL, behind the back of what runs it, which has to notice and start it again
	Cut       = "cut"        // nothing passes between it and the other nodes, either way, and nobody is told
	CutEdge   = "cut-edge"   // the same between a proxy and the clients
	CutGossip = "cut-gossip" // only the gossip does not pass, either way
	Unplug    = "unplug"     // its interface to the other nodes is gone
	Slow      = "slow"       // its network delays or loses packets
	Readdress = "readdress"  // killed; started again after For, with another address
	Join      = "join"       // a node that was not there is started, and taken away after For
	Fill      = "fill"       // its disk has no room; at most once in a run
)

// lasts is how long faults of a kind last; others are over after 0.2 to 3 s.
var lasts = map[string]struct{ from, to time.Duration }{
	Stop:      {time.Second, 5 * time.Second},
	Cut:       {time.Second, 12 * time.Second},
	CutEdge:   {time.Second, 12 * time.Second},
	CutGossip: {3 * time.Second, 20 * time.Second},
	Unplug:    {time.Second, 8 * time.Second},
	Slow:      {3 * time.Second, 15 * time.Second},
	Join:      {5 * time.Second, 20 * time.Second},
	Fill:      {10 * time.Second, 20 * time.Second},
}

func (f Fault) String() string {
	return fmt.Sprintf("%6.1f s  %-10s %-9s for %.1f s", f.At.Seconds(), f.Kind, f.Target, f.For.Seconds())
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

// Target is a part of the system, and what may be done to it.
type Target struct {
	Name  string // such as server-2
	Kinds []string
}

// Processes are targets of which each is one process on this machine.
func Processes(names ...string) (targets []Target) {
	for _, name := range names {
		targets = append(targets, Target{name, []string{Kill, Stop, End}})
	}
	return targets
}

// Plan is what a schedule follows from.
type Plan struct {
	Seed    uint64
	Length  time.Duration
	Targets []Target
	Filter  Filter
	Evenly  bool // each kind as often as any other; else each kind at each target
}

// Schedule makes the faults of a run: the same of the same plan.
func (p Plan) Schedule() (faults []Fault) {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	free := make(map[string]time.Duration) // when each target may be struck again
	done := make(map[string]int)           // faults by kind
	strike := func(at time.Duration) {
		possible := p.possible(at, free, done)
		if len(possible) == 0 {
			return
		}
		f := possible[r.IntN(len(possible))]
		f.For = time.Duration(200+r.IntN(2800)) * time.Millisecond
		if l, ok := lasts[f.Kind]; ok {
			f.For = l.from + time.Duration(r.Int64N((l.to-l.from).Milliseconds()))*time.Millisecond
		}
		if f.At+f.For > p.Length {
			return
		}
		free[f.Target] = f.At + f.For + recoverTime
		done[f.Kind]++
		faults = append(faults, f)
	}
	for at := time.Duration(0); at < p.Length; at += meanPause/2 + time.Duration(r.Int64N(int64(meanPause))) {
		strike(at)
		if r.IntN(twinShare) == 0 {
			strike(at)
		}
	}
	return faults
}

// possible are the faults that may begin now, after those that were done.
func (p Plan) possible(at time.Duration, free map[string]time.Duration, done map[string]int) (possible []Fault) {
	for _, target := range p.Targets {
		for _, kind := range target.Kinds {
			again := kind != Fill || done[Fill] == 0
			if again && free[target.Name] <= at && p.Filter.allows(kind, target.Name) {
				possible = append(possible, Fault{At: at, Kind: kind, Target: target.Name})
			}
		}
	}
	if !p.Evenly || len(possible) == 0 {
		return possible
	}
	least := slices.MinFunc(possible, func(a, b Fault) int { return cmp.Compare(done[a.Kind], done[b.Kind]) })
	return slices.DeleteFunc(possible, func(f Fault) bool { return done[f.Kind] > done[least.Kind] })
}

// System is done to what a schedule says. For one target its methods are called one after the other.
type System interface {
	Begin(Fault) error
	Heal(Fault) error // returns when the target is whole again
}

// Inflict does the faults of a schedule to a system, and returns when all are healed. Faults that a canceled ctx leaves out
// are not done.
func Inflict(ctx context.Context, schedule []Fault, journal Journal, system System) error {
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
			errs[i] = inflict(ctx, f, journal, system)
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

func inflict(ctx context.Context, f Fault, journal Journal, system System) error {
	journal.Add(checker.Record{Kind: checker.FaultBegin, Fault: f.Kind, Target: f.Target})
	if err := system.Begin(f); err != nil {
		return err
	}
	sleep(ctx, f.For)
	if err := system.Heal(f); err != nil {
		return err
	}
	journal.Add(checker.Record{Kind: checker.FaultEnd, Fault: f.Kind, Target: f.Target})
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
