package ring

import (
	"math"
	"slices"
	"testing"

	"github.com/buraksezer/consistent"
)

// These tests pin what the library does where it is not what one would think, and that this package stays clear of it.
// A new release that fails one has changed: look at the golden file before anything else, since placement is for good.

// libraryRing is the library used directly, with the settings of servers.
func libraryRing(h consistent.Hasher, names ...string) *consistent.Consistent {
	members := make([]consistent.Member, len(names))
	for i, name := range names {
		members[i] = member{name: name}
	}
	return consistent.New(members, consistent.Config{
		Hasher: h, PartitionCount: Partitions, ReplicationFactor: replicas, Load: load,
	})
}

func panics(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return false
}

func TestLibraryHasNoOwnerInAnEmptyRing(t *testing.T) {
	circle := libraryRing(hasher{}, "server-1")
	circle.Remove("server-1")
	if !panics(func() { _ = circle.LocateKey([]byte("key")).String() }) {
		t.Error("the library's empty ring names an owner")
	}
	if _, ok := mustWithout(t, mustNew(t, "server-1"), "server-1").Owner(1); ok {
		t.Error("an empty ring names an owner")
	}
}

func TestLibraryPanicsWhenADuplicateIsRemoved(t *testing.T) {
	circle := libraryRing(hasher{}, "server-1", "server-1", "server-2")
	if !panics(func() { circle.Remove("server-1") }) {
		t.Error("the library removes a member that was given twice")
	}
	left := mustWithout(t, mustNew(t, "server-1", "server-1", "server-2"), "server-1")
	if got := left.Members(); !slices.Equal(got, []string{"server-2"}) {
		t.Errorf("server-2 is left, and the members are %q", got)
	}
}

func TestPlaceTurnsPanicsIntoErrors(t *testing.T) {
	owners, err := place(numbered(3), shape{Partitions, replicas, 0.9})
	want := "placing 4093 partitions on 3 members: not enough room to distribute partitions"
	if err == nil || err.Error() != want || owners != nil {
		t.Errorf("got %d owners and the error %v; want %q", len(owners), err, want)
	}
}

// A load of 1 leaves no room to spare, and with fewer partitions than members some get none: both must place all.
func TestPlaceInTightShapes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		members int
		shape   shape
	}{
		{"load 1 with a remainder", 3, shape{271, 20, 1}},
		{"load 1 without one", 3, shape{270, 20, 1}},
		{"more members than partitions", 50, shape{7, 20, 1.25}},
		{"one point each", 50, shape{271, 1, 1}},
		{"as many members as may be", MaxMembers, shape{Partitions, 1, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			owners, err := place(numbered(tc.members), tc.shape)
			if err != nil {
				t.Fatal(err)
			}
			shares := make([]int, tc.members)
			for _, owner := range owners {
				shares[owner]++
			}
			most := int(math.Ceil(float64(tc.shape.partitions) * tc.shape.load / float64(tc.members)))
			if got := slices.Max(shares); got > most {
				t.Errorf("one member has %d of %d partitions; the load allows %d", got, tc.shape.partitions, most)
			}
		})
	}
}

// recorder notes what is hashed.
type recorder struct {
	hasher
	seen map[string]int
}

func (r recorder) Sum64(b []byte) uint64 {
	r.seen[string(b)]++
	return r.hasher.Sum64(b)
}

// In earlier releases point 11 of server-1 and point 1 of server-11 were one point, and who owned it depended on who
// came last.
func TestLibraryGivesEachMemberItsOwnPoints(t *testing.T) {
	names := []string{"server-1", "server-11", "server-111", "1", "11", "1:1", ":1", "1:"}
	r := recorder{seen: make(map[string]int)}
	libraryRing(r, names...)
	for point, times := range r.seen {
		if times > 1 {
			t.Errorf("the point %q is hashed %d times", point, times)
		}
	}
	if want := len(names)*replicas + Partitions; len(r.seen) != want {
		t.Errorf("%d different things are hashed; want %d", len(r.seen), want)
	}
}

// GetClosestN walks the members by the hash of their names, which has nothing to do with who takes over.
func TestLibraryClosestIsNotTheSuccessor(t *testing.T) {
	names := numbered(5)
	circle, r := libraryRing(hasher{}, names...), mustNew(t, names...)
	right := 0
	for p := range Partitions {
		closest, err := circle.GetClosestNForPartition(p, 2)
		if err != nil {
			t.Fatal(err)
		}
		owner, _ := r.Owner(Key(p))
		if got := closest[0].String(); got != owner {
			t.Fatalf("partition %d: the library's owner is %q, the ring's %q", p, got, owner)
		}
		if successor, _ := mustWithout(t, r, owner).Owner(Key(p)); closest[1].String() == successor {
			right++
		}
	}
	t.Logf("GetClosestN names the successor of %.0f %% of the partitions", 100*float64(right)/Partitions)
	if right > Partitions/2 {
		t.Errorf("GetClosestN names the successor of %d of %d partitions: it may be the failover order now",
			right, Partitions)
	}
}

// The order of members must not count even where the library is told one by one; the ring does not rely on it.
func TestLibraryMembersOneByOne(t *testing.T) {
	names := numbered(12)
	circle := libraryRing(hasher{}, names[11])
	for _, name := range names[:11] {
		circle.Add(member{name: name})
	}
	circle.Remove(names[0])
	for p, want := range table(mustNew(t, names[1:]...)) {
		if got := circle.GetPartitionOwner(p).String(); got != want {
			t.Fatalf("partition %d: %q by Add and Remove, %q from the names", p, got, want)
		}
	}
}

func TestDistinctTakesMaxMembers(t *testing.T) {
	names, err := distinct(append(numbered(MaxMembers), numbered(MaxMembers)...))
	if err != nil || len(names) != MaxMembers {
		t.Errorf("got %d names and %v", len(names), err)
	}
	full := firstN(MaxMembers)
	for i := range names {
		if !full.has(i) {
			t.Errorf("the set of all %d has no %d", MaxMembers, i)
		}
		full.remove(i)
	}
	if full != (set{}) {
		t.Errorf("after all are removed, %v is left", full)
	}
}
