package ring

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// numbered are the names server-1 … server-n.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("server-%d", i+1)
	}
	return names
}

func mustNew(t testing.TB, names ...string) *Ring {
	t.Helper()
	r, err := New(names)
	if err != nil {
		t.Fatalf("New(%q): %v", names, err)
	}
	return r
}

func mustWithout(t testing.TB, r *Ring, names ...string) *Ring {
	t.Helper()
	left, err := r.Without(names...)
	if err != nil {
		t.Fatalf("Without(%q): %v", names, err)
	}
	return left
}

// table is the owner of each partition, by name.
func table(r *Ring) []string {
	owners := make([]string, Partitions)
	for p := range owners {
		owners[p], _ = r.Owner(Key(p))
	}
	return owners
}

func TestNewTakesNamesAsASet(t *testing.T) {
	want := mustNew(t, "a", "b", "c")
	names := []string{"c", "a", "b", "a", "c"}
	again := mustNew(t, names...)

	if !slices.Equal(table(again), table(want)) || again.Digest() != want.Digest() {
		t.Error("another order and duplicates gave another table")
	}
	if got := again.Members(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("members are %q", got)
	}
	if !slices.Equal(names, []string{"c", "a", "b", "a", "c"}) {
		t.Errorf("New changed its argument to %q", names)
	}
	again.Members()[0] = "changed"
	if again.Members()[0] != "a" {
		t.Error("a caller could change the members")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		names []string
		want  string
	}{
		{"an empty name", []string{"a", ""}, "one of the 2 names is empty"},
		{"too many members", numbered(MaxMembers + 1), "257 members are too many; the limit is 256"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := New(tc.names)
			if err == nil || !strings.Contains(err.Error(), tc.want) || r != nil {
				t.Errorf("got %v, %v; want an error with %q", r, err, tc.want)
			}
		})
	}
}

func TestRingWithoutMembers(t *testing.T) {
	for name, r := range map[string]*Ring{
		"zero value":    {},
		"no names":      mustNew(t),
		"all were lost": mustWithout(t, mustNew(t, "a", "b"), "a", "b"),
	} {
		t.Run(name, func(t *testing.T) {
			if owner, ok := r.Owner(12345); ok || owner != "" {
				t.Errorf("it has the owner %q, %v", owner, ok)
			}
			if r.Digest() != 0 || len(r.Members()) != 0 {
				t.Errorf("digest %#x, members %q", r.Digest(), r.Members())
			}
			for server := range r.Order(12345) {
				t.Errorf("its order has %q", server)
			}
			if left := mustWithout(t, r, "a"); left != r {
				t.Error("without somebody it is another ring")
			}
		})
	}
}

func TestDigestTellsTablesApart(t *testing.T) {
	seen := make(map[uint64][]string)
	for _, names := range [][]string{
		nil, {"a"}, {"b"}, {"ab"}, {"a", "b"}, {"a", "c"}, {"a", "b", "c"}, {"ab", "c"}, {"a", "bc"}, {"abc"},
	} {
		d := mustNew(t, names...).Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have the digest %#x", other, names, d)
		}
		seen[d] = names
	}
}

func TestWithoutEqualsNew(t *testing.T) {
	r := mustNew(t, numbered(5)...)
	for _, tc := range []struct {
		name string
		lost []string
		left []string
	}{
		{"nobody", nil, numbered(5)},
		{"a stranger", []string{"server-6", ""}, numbered(5)},
		{"one", []string{"server-5"}, numbered(4)},
		{"one twice", []string{"server-5", "server-5"}, numbered(4)},
		{"three", []string{"server-5", "server-3", "server-4"}, numbered(2)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, want := mustWithout(t, r, tc.lost...), mustNew(t, tc.left...)
			if got.Digest() != want.Digest() || !slices.Equal(table(got), table(want)) {
				t.Errorf("without %q the table is not the one of %q", tc.lost, tc.left)
			}
		})
	}
}

func TestWithoutRemembers(t *testing.T) {
	r := mustNew(t, numbered(4)...)
	both := mustWithout(t, r, "server-1", "server-2")
	if mustWithout(t, r, "server-2", "server-1") != both {
		t.Error("the names in another order made another ring")
	}
	if mustWithout(t, mustWithout(t, r, "server-2"), "server-1") != both {
		t.Error("one after the other made another ring")
	}
	if mustWithout(t, r, "nobody") != r {
		t.Error("without a stranger it is another ring")
	}
	if n := testing.AllocsPerRun(100, func() { r.Without("server-1", "server-2") }); n != 0 {
		t.Errorf("a remembered ring costs %v allocations", n)
	}
}

// What is remembered stays within its bound, and what was forgotten comes out the same when it is made again.
func TestWithoutForgets(t *testing.T) {
	r := mustNew(t, numbered(5)...)
	before := mustWithout(t, r, "server-3")
	for i := range uint64(100 * maxKin) {
		r.kin.maker(set{1: i + 1}) // makes nothing yet, but takes a place
	}
	if n := len(r.kin.rings); n != maxKin {
		t.Errorf("%d rings are remembered; the bound is %d", n, maxKin)
	}
	if after := mustWithout(t, r, "server-3"); after == before || after.owners != before.owners {
		t.Error("the ring was not forgotten, or is another now that it was made again")
	}
}

func TestWithoutFromManyGoroutines(t *testing.T) {
	r := mustNew(t, numbered(5)...)
	got := make([]*Ring, 32)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = r.Without(fmt.Sprintf("server-%d", i%4+1)) })
	}
	wg.Wait()
	for i, left := range got {
		if left == nil || left != got[i%4] {
			t.Errorf("goroutine %d got a ring of its own", i)
		}
	}
}

func TestOrder(t *testing.T) {
	r := mustNew(t, numbered(5)...)
	for k := Key(0); k < Partitions; k += 7 {
		order := slices.Collect(r.Order(k))
		if sorted := slices.Sorted(slices.Values(order)); !slices.Equal(sorted, r.Members()) {
			t.Fatalf("key %d: the order %q is not every member once", k, order)
		}
		for i, server := range order {
			if owner, _ := mustWithout(t, r, order[:i]...).Owner(k); owner != server {
				t.Fatalf("key %d: without %q the owner is %q, but the order is %q", k, order[:i], owner, order)
			}
		}
	}
}

func TestOrderMayBeLeftEarly(t *testing.T) {
	r := mustNew(t, numbered(5)...)
	for server := range r.Order(1) {
		if owner, _ := r.Owner(1); server != owner {
			t.Errorf("the first to try is %q, the owner %q", server, owner)
		}
		break
	}
	if n := len(r.kin.rings); n != 0 {
		t.Errorf("the owner alone cost %d rings", n)
	}
}

func TestOwnerAllocatesNothing(t *testing.T) {
	r := mustNew(t, numbered(5)...)
	var k Key
	if n := testing.AllocsPerRun(1000, func() { r.Owner(k); k += 0x9e3779b97f4a7c15 }); n != 0 {
		t.Errorf("a look-up costs %v allocations", n)
	}
}

func BenchmarkOwner(b *testing.B) {
	r := mustNew(b, numbered(5)...)
	b.ReportAllocs()
	var k Key
	for b.Loop() {
		r.Owner(k)
		k += 0x9e3779b97f4a7c15
	}
}

func BenchmarkWithoutRemembered(b *testing.B) {
	r := mustNew(b, numbered(5)...)
	b.ReportAllocs()
	for b.Loop() {
		r.Without("server-3")
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1, 3, 5, 10, 32, 64, MaxMembers} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			names := numbered(n)
			for b.Loop() {
				mustNew(b, names...)
			}
		})
	}
}
