package remote

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"multichat/internal/checker"
)

func at(t time.Duration, text string) checker.Record {
	return checker.Record{At: t, Kind: checker.Attempt, Text: text}
}

func beatAt(t time.Duration) checker.Record { return checker.Record{At: t} }

func TestNothingIsGivenOnBeforeAllHavePassedIt(t *testing.T) {
	var given []string
	s := newSorter(2, func(r checker.Record) { given = append(given, r.Text) })
	want := func(texts ...string) {
		t.Helper()
		if !slices.Equal(given, texts) {
			t.Fatalf("given were %q, want %q", given, texts)
		}
	}
	s.take(0, at(10, "first's"))
	s.take(0, beatAt(20))
	want() // the second may still tell of something earlier
	s.take(1, at(5, "second's"))
	s.now = func() time.Duration { return 7 }
	s.add(checker.Record{Kind: checker.FaultBegin, Text: "the driver's"})
	want()
	s.take(1, beatAt(8))
	want("second's", "the driver's")
	s.take(1, at(30, "second's last"))
	s.take(1, beatAt(31))
	want("second's", "the driver's", "first's")
	s.leave(0)
	want("second's", "the driver's", "first's", "second's last")
}

func TestWhatManyTellIsGivenOnInOrder(t *testing.T) {
	const sources, records = 10, 2000
	r := rand.New(rand.NewPCG(1, 1))
	var given []time.Duration
	s := newSorter(sources, func(r checker.Record) { given = append(given, r.At) })
	var clocks [sources]time.Duration
	for i := range records {
		source := r.IntN(sources)
		clocks[source] += time.Duration(1 + r.IntN(100))
		s.take(source, at(clocks[source], fmt.Sprint(i)))
		if r.IntN(3) == 0 {
			s.take(source, beatAt(clocks[source]+1))
		}
	}
	if len(given) == 0 || len(given) == records {
		t.Errorf("%d of %d were given on before the end", len(given), records)
	}
	s.finish()
	if len(given) != records || !slices.IsSorted(given) {
		t.Errorf("%d of %d records were given on, in order: %t", len(given), records, slices.IsSorted(given))
	}
}
