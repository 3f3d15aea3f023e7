package remote

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"multichat/internal/chaos"
	"multichat/internal/checker"
)

// sorter puts the records of many sources in the order of their times. Each source gives its own in order, and a record
// without a kind for a time alone. What is kept is bounded by how long a source may be silent.
type sorter struct {
	out func(checker.Record)
	now func() time.Duration

	mu    sync.Mutex
	kept  []checker.Record
	until []time.Duration // by source: it gives nothing before that any more
	given time.Duration   // all before that is given on
}

const never = time.Duration(math.MaxInt64)

func newSorter(sources int, out func(checker.Record)) *sorter {
	return &sorter{out: out, now: chaos.Clock, until: make([]time.Duration, sources)}
}

// take takes the next record of a source.
func (s *sorter) take(source int, r checker.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Kind != "" {
		s.kept = append(s.kept, r)
		return
	}
	s.until[source] = r.At
	s.giveLocked()
}

// add takes a record as of now, which is later than whatever was given on.
func (s *sorter) add(r checker.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.At = s.now()
	s.kept = append(s.kept, r)
}

// leave says that a source gives nothing any more.
func (s *sorter) leave(source int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until[source] = never
	s.giveLocked()
}

// finish gives on what is left.
func (s *sorter) finish() {
	for source := range s.until {
		s.leave(source)
	}
}

// giveLocked gives on what all sources have passed.
func (s *sorter) giveLocked() {
	until := slices.Min(s.until)
	if until <= s.given {
		return
	}
	s.given = until
	slices.SortStableFunc(s.kept, func(a, b checker.Record) int { return cmp.Compare(a.At, b.At) })
	n, _ := slices.BinarySearchFunc(s.kept, until, func(r checker.Record, t time.Duration) int { return cmp.Compare(r.At, t) })
	for _, r := range s.kept[:n] {
		s.out(r)
	}
	s.kept = slices.Delete(s.kept, 0, n)
}
