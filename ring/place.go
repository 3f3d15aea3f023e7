package ring

import (
	"fmt"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

// shape is what a placement depends on besides the names. To change one is to move keys in every cluster.
type shape struct {
	partitions int
	replicas   int     // points of each member on the circle
	load       float64 // no member gets more than this times the mean, rounded up
}

// The points are many because few make some servers twice as large as others by chance, and the partitions because a
// share of few partitions is coarse. With a load nearer to 1 more members are full, and when one is lost, what they had
// passed on comes back to them: keys move that need not.
const (
	replicas = 200
	load     = 1.25
)

var servers = shape{Partitions, replicas, load}

// place gives each partition the index of its owner among members, which are sorted, distinct, and 1 to MaxMembers. The
// library says by panicking what it cannot do; here that is an error.
func place(members []string, s shape) (owners []uint8, err error) {
	defer func() {
		if p := recover(); p != nil {
			owners, err = nil, fmt.Errorf("placing %d partitions on %d members: %v", s.partitions, len(members), p)
		}
	}()

	points := make([]consistent.Member, len(members))
	for i, name := range members {
		points[i] = member{name, uint8(i)}
	}
	// Always all at once and in the same order: the library has ways to add and remove members, but its table then
	// depends on what came before in ways that have been wrong in some releases.
	circle := consistent.New(points, consistent.Config{
		Hasher:            hasher{},
		PartitionCount:    s.partitions,
		ReplicationFactor: s.replicas,
		Load:              s.load,
	})
	owners = make([]uint8, s.partitions)
	for p := range owners {
		owners[p] = circle.GetPartitionOwner(p).(member).index
	}
	return owners, nil
}

type member struct {
	name  string
	index uint8
}

func (m member) String() string { return m.name }

// hasher hashes names and partition numbers, and is the same for everybody: the seed is in the keys.
type hasher struct{}

func (hasher) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }
