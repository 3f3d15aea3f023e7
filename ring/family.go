package ring

import (
	"iter"
	"slices"
	"sync"
)

// maxKin bounds the rings that a family remembers. A ring has about 6 KB, so they have 1.5 MB together. When there is
// one more, any one is forgotten, and made again if it is asked for.
const maxKin = 256

// Without is the ring of r's members but for these; names that are not members do not matter. It equals the one that
// [New] makes of the remaining names. The first call for a set of remaining members takes as long as New; who asks for
// the same set meanwhile waits for it, and later calls find it. It is remembered, up to a bound, by all rings that came
// from one New. An error, which no names are known to cause, says that the table could not be made.
func (r *Ring) Without(names ...string) (*Ring, error) {
	if len(r.members) == 0 {
		return r, nil
	}
	left := r.set
	for _, name := range names {
		if i, ok := slices.BinarySearch(r.kin.names, name); ok {
			left.remove(i)
		}
	}
	if left == r.set {
		return r, nil
	}
	return r.kin.ring(left)
}

// Order yields every member once, in the order in which to try them for k: the owner, then the owner in the ring without
// it, and so on. The first name costs a look-up, each further one a call of [Ring.Without]. With servers already known
// to be lost, take the order of the ring without them.
func (r *Ring) Order(k Key) iter.Seq[string] {
	return func(yield func(string) bool) {
		for left := r; ; {
			name, ok := left.Owner(k)
			if !ok || !yield(name) {
				return
			}
			next, err := left.Without(name)
			if err != nil {
				return
			}
			left = next
		}
	}
}

// family makes and remembers the rings of one set of names and of its subsets.
type family struct {
	names []string // sorted, distinct, at most MaxMembers

	mu    sync.Mutex // guards the map alone: nothing is made while it is held
	rings map[set]func() (*Ring, error)
}

func newFamily(names []string) *family {
	return &family{names: names, rings: make(map[set]func() (*Ring, error))}
}

// ring is the ring of the names in s, made by the first who asks.
func (f *family) ring(s set) (*Ring, error) { return f.maker(s)() }

func (f *family) maker(s set) func() (*Ring, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.rings[s]; ok {
		return known
	}
	if len(f.rings) >= maxKin {
		for other := range f.rings {
			delete(f.rings, other)
			break
		}
	}
	made := sync.OnceValues(func() (*Ring, error) { return f.build(s) })
	f.rings[s] = made
	return made
}

func (f *family) build(s set) (*Ring, error) {
	r := &Ring{kin: f, set: s}
	for i, name := range f.names {
		if s.has(i) {
			r.members = append(r.members, name)
		}
	}
	if len(r.members) == 0 {
		return r, nil
	}
	owners, err := place(r.members, servers)
	if err != nil {
		return nil, err
	}
	copy(r.owners[:], owners)
	r.digest = digestOf(r.members, owners)
	return r, nil
}

// set is a set of indexes below MaxMembers, and a map key.
type set [MaxMembers / 64]uint64

// firstN is the set of the indexes below n.
func firstN(n int) set {
	var s set
	for i := range n {
		s[i/64] |= 1 << (i % 64)
	}
	return s
}

func (s *set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s *set) remove(i int) { s[i/64] &^= 1 << (i % 64) }
