package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/checker"
)

var targets = []string{"mysql-1", "mysql-2", "proxy-1", "proxy-2", "server-1", "server-2", "server-3"}

func schedule(seed uint64, length time.Duration, filter Filter) []Fault {
	return Plan{Seed: seed, Length: length, Targets: Processes(targets...), Filter: filter}.Schedule()
}

func TestASeedGivesOneSchedule(t *testing.T) {
	first := schedule(7, 10*time.Minute, nil)
	if again := schedule(7, 10*time.Minute, nil); !slices.Equal(first, again) {
		t.Error("the same seed gave another schedule")
	}
	if other := schedule(8, 10*time.Minute, nil); slices.Equal(first, other) {
		t.Error("another seed gave the same schedule")
	}
}

// Whoever has noted a seed must get the same run from it later.
func TestASeedGivesTheScheduleThatItAlwaysGave(t *testing.T) {
	for _, test := range []struct {
		filter Filter
		want   string
	}{
		{nil, `
   0.0 s  kill       server-1  for 2.4 s
   0.0 s  stop       mysql-2   for 2.0 s
   3.6 s  kill       proxy-2   for 0.8 s
   3.6 s  end        mysql-1   for 1.4 s
   8.9 s  kill       server-3  for 0.2 s
  16.2 s  stop       server-3  for 1.1 s
  21.8 s  kill       server-1  for 1.4 s
  26.1 s  stop       server-3  for 2.3 s`},
		{Filter{"stop", "kill-mysql"}, `
   0.0 s  stop       proxy-2   for 1.2 s
   4.9 s  kill       mysql-2   for 0.8 s
   8.4 s  kill       mysql-1   for 0.7 s
  13.7 s  stop       server-2  for 3.7 s
  20.9 s  stop       proxy-1   for 4.2 s
  26.5 s  kill       mysql-1   for 2.3 s`},
	} {
		var got strings.Builder
		for _, f := range schedule(7, 30*time.Second, test.filter) {
			fmt.Fprintf(&got, "\n%v", f)
		}
		if got.String() != test.want {
			t.Errorf("with the filter %v the schedule is%s\nand was%s", test.filter, &got, test.want)
		}
	}
}

func TestAnEvenScheduleDoesEachKindAsOftenAsAnother(t *testing.T) {
	machines := []Target{{"mysql-1", []string{Kill, Fill}}, {"mysql-2", []string{Kill, Fill}}, {"proxy-1", []string{Kill, CutEdge}},
		{"server-1", []string{Kill, Slow}}, {"server-2", []string{Kill, Slow}}, {"server-3", []string{Join}}}
	for seed := range uint64(20) {
		done := make(map[string]int)
		for _, f := range (Plan{Seed: seed, Length: 10 * time.Minute, Targets: machines, Evenly: true}).Schedule() {
			done[f.Kind]++
			if l := lasts[f.Kind]; l.to > 0 && (f.For < l.from || f.For > l.to) {
				t.Errorf("seed %d: %v", seed, f)
			}
		}
		if done[Fill] != 1 {
			t.Errorf("seed %d: a disk is filled %d times, want once", seed, done[Fill])
		}
		delete(done, Fill)
		counts := slices.Sorted(maps.Values(done))
		if len(counts) != 4 || counts[0] < counts[3]*2/3 {
			t.Errorf("seed %d: the faults by kind are %v", seed, done)
		}
	}
}

func TestASchedule(t *testing.T) {
	const length = 10 * time.Minute
	type done struct{ kind, target string }
	seen := make(map[done]bool)
	twins := 0
	for seed := range uint64(5) {
		free := make(map[string]time.Duration)
		var last time.Duration
		for i, f := range schedule(seed, length, nil) {
			seen[done{f.Kind, f.Target}] = true
			switch {
			case f.At < last:
				t.Errorf("seed %d: %v comes after one at %v", seed, f, last)
			case f.At < free[f.Target]:
				t.Errorf("seed %d: %v strikes what is not whole again before %v", seed, f, free[f.Target])
			case f.At+f.For > length:
				t.Errorf("seed %d: %v outlasts the run", seed, f)
			case f.Kind == Stop && (f.For < time.Second || f.For > 5*time.Second):
				t.Errorf("seed %d: %v; a stop is 1 to 5 s", seed, f)
			case i > 0 && f.At == last:
				twins++
			}
			free[f.Target], last = f.At+f.For, f.At
		}
	}
	if want := 3 * len(targets); len(seen) != want {
		t.Errorf("%d kinds of faults at targets were chosen, want all %d", len(seen), want)
	}
	if twins == 0 {
		t.Error("no two faults come at once")
	}
}

func TestAFilterLeavesOthersOut(t *testing.T) {
	for _, test := range []struct {
		filter Filter
		want   []string // kind-class
	}{
		{Filter{"kill"}, []string{"kill-mysql", "kill-proxy", "kill-server"}},
		{Filter{"mysql"}, []string{"end-mysql", "kill-mysql", "stop-mysql"}},
		{Filter{"stop-proxy", "kill-server"}, []string{"kill-server", "stop-proxy"}},
		{Filter{"nothing"}, nil},
	} {
		var got []string
		for _, f := range schedule(1, time.Hour, test.filter) {
			if name := f.Kind + "-" + class(f.Target); !slices.Contains(got, name) {
				got = append(got, name)
			}
		}
		if slices.Sort(got); !slices.Equal(got, test.want) {
			t.Errorf("%v gives %v, want %v", test.filter, got, test.want)
		}
	}
}

// system notes what is done to it.
type system struct {
	mu     sync.Mutex
	broken map[string]bool
	did    []string
	err    error
}

func (s *system) Begin(f Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken[f.Target] {
		return errors.New("it is broken already")
	}
	s.broken[f.Target] = true
	s.did = append(s.did, f.Kind+" "+f.Target)
	return s.err
}

func (s *system) Heal(f Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[f.Target] = false
	return nil
}

func TestFaultsAreDoneAndHealed(t *testing.T) {
	recorder := NewRecorder(io.Discard)
	s := &system{broken: make(map[string]bool)}
	err := Inflict(t.Context(), []Fault{
		{At: 0, Kind: Kill, Target: "server-1", For: 20 * time.Millisecond},
		{At: 0, Kind: Stop, Target: "server-1", For: 10 * time.Millisecond}, // waits for its turn
		{At: 5 * time.Millisecond, Kind: End, Target: "proxy-1", For: time.Millisecond},
	}, recorder, s)
	if err != nil {
		t.Error(err)
	}
	if slices.Sort(s.did); !slices.Equal(s.did, []string{"end proxy-1", "kill server-1", "stop server-1"}) {
		t.Errorf("done were %q", s.did)
	}
	for target, broken := range s.broken {
		if broken {
			t.Errorf("%s is broken at the end", target)
		}
	}
	report, err := recorder.Close()
	if err != nil || report.Faults != 3 || report.Unexpected != 0 {
		t.Errorf("the history has %d faults, %d unexpected, error %v: %v", report.Faults, report.Unexpected, err, report.Problems)
	}
	recorder = NewRecorder(io.Discard)
	recorder.Add(checker.Record{})
	s.err = errors.New("it cannot be killed")
	if err := Inflict(context.Background(), []Fault{{Kind: Kill, Target: "server-1"}}, recorder, s); !errors.Is(err, s.err) {
		t.Errorf("a fault that cannot be done: %v", err)
	}
}
