package ring

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var histories = flag.Int("histories", 275, "how many random histories to try; 275 have a thousand member sets")

// mayMove bounds the partitions that change hands between two members that stay when a third is lost.
const mayMove = Partitions * 5 / 1000

// A history is a cluster that loses up to three members one after the other and gets them back: four member sets. Its
// seed names the test, so that one that failed can be run alone. Most are small, as clusters are, and because a build
// costs the square of the members; each hundredth has any size up to 64.
func TestHistories(t *testing.T) {
	for seed := range *histories {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(seed), 0))
			size := 1 + rnd.IntN(10)
			if seed%100 == 21 {
				size = rnd.IntN(65)
			}
			tryHistory(t, rnd, randomNames(rnd, size))
		})
	}
}

// The names and the sizes that clusters really have, to the largest.
func TestNumberedHistories(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 16, 20, 24, 33, 64} {
		t.Run(fmt.Sprintf("server-1…server-%d", size), func(t *testing.T) {
			t.Parallel()
			tryHistory(t, rand.New(rand.NewPCG(uint64(size), 1)), numbered(size))
		})
	}
}

// tryHistory makes one ring from each set of members, and one a second time: under the race detector a build takes 10 ms
// and more. For the other sets it checks that New comes to the same list of names, which is all that a table is made of.
func tryHistory(t *testing.T, rnd *rand.Rand, names []string) {
	t.Logf("members: %q", names)
	past := []*Ring{mustNew(t, joined(rnd, names)...)}
	for _, i := range rnd.Perm(len(names))[:min(3, len(names))] {
		before := past[len(past)-1]
		after := mustWithout(t, before, names[i])
		checkMoves(t, before, after, names[i])
		past = append(past, after)
	}
	for _, r := range past {
		checkShares(t, r)
		again, err := distinct(joined(rnd, r.members))
		if err != nil || !slices.Equal(again, r.members) {
			t.Errorf("%q came in another order, and the members are %q, %v", r.members, again, err)
		}
	}
	before := past[rnd.IntN(max(1, len(past)-1))]
	if back := mustNew(t, joined(rnd, before.members)...); back.Digest() != before.Digest() || back.owners != before.owners {
		t.Errorf("after the lost came back the table of %q is not the one before the loss", before.members)
	}
}

// joined is names in a random order, some of them several times.
func joined(rnd *rand.Rand, names []string) []string {
	names = slices.Clone(names)
	for range min(len(names), rnd.IntN(4)) {
		names = append(names, names[rnd.IntN(len(names))])
	}
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

// checkShares wants no member to own more than the load allows, and nobody else to own anything.
func checkShares(t *testing.T, r *Ring) {
	t.Helper()
	if len(r.members) == 0 {
		if owner, ok := r.Owner(0); ok {
			t.Errorf("nobody is there, and %q owns something", owner)
		}
		return
	}
	var shares [MaxMembers]int
	for _, owner := range r.owners {
		shares[owner]++
	}
	most := int(math.Ceil(Partitions * load / float64(len(r.members))))
	for i, share := range shares {
		if i >= len(r.members) {
			most = 0
		}
		if share > most {
			t.Errorf("member %d of %d owns %d partitions; the load allows %d", i, len(r.members), share, most)
		}
	}
}

// checkMoves wants the partitions of the one that was lost to move, and hardly any other.
func checkMoves(t *testing.T, before, after *Ring, lost string) {
	t.Helper()
	was, is := table(before), table(after)
	moved := 0
	for p := range was {
		if is[p] == lost {
			t.Fatalf("partition %d belongs to %q, which is lost", p, lost)
		}
		if was[p] != lost && was[p] != is[p] {
			moved++
		}
	}
	if moved > mayMove {
		t.Errorf("of %d members %q is lost, and %d partitions of others moved; %d may",
			len(before.members), lost, moved, mayMove)
	}
}

// randomNames are distinct: of few letters and digits, so that one is often the beginning or the end of another, or
// long, or numbered, or of whatever bytes.
func randomNames(rnd *rand.Rand, n int) []string {
	names := make(map[string]bool)
	for len(names) < n {
		switch rnd.IntN(4) {
		case 0:
			names[fmt.Sprintf("server-%d", 1+rnd.IntN(64))] = true
		case 1:
			short := make([]byte, 1+rnd.IntN(4))
			for i := range short {
				short[i] = "01:-"[rnd.IntN(4)]
			}
			names[string(short)] = true
		case 2:
			names[fmt.Sprintf("%s.%x.example", strings.Repeat("long", rnd.IntN(10)), rnd.Uint32())] = true
		case 3:
			wild := make([]byte, 1+rnd.IntN(20))
			for i := range wild {
				wild[i] = byte(rnd.Uint32())
			}
			names[string(wild)] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
