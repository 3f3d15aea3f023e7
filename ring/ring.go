// Package ring says who owns what: which server serves a client, and which shard a mailbox is proposed for. It is
// arithmetic: no network, no clock, no goroutine, and every process that is given the same names computes the same
// tables, which a golden file pins from release to release.
//
// # Servers
//
// A [Ring] is made of the names of the servers that live, and of nothing else: not their addresses, not the order in
// which they came. A client's address becomes a [Key] by [ClientKey], a key has one [Ring.Owner], and looking it up is
// one index into a table.
//
//	r, err := ring.New([]string{"server-1", "server-2", "server-3"})
//	server, ok := r.Owner(ring.ClientKey(client, seed))
//
// A Ring never changes. When the members do, make another and swap the pointer to it; if that fails, keep the old one.
// When a server is lost, its clients go to the owner of their key in the ring without it, and almost only they move. As
// measured, no partition changes hands between two servers that stay in rings of up to eight, less than one in two
// hundred does up to 64 members, and one in a hundred at 256. [Ring.Without] is that ring, and [Ring.Order] yields all
// of a key's servers, best first.
//
// Making a ring takes about 3 ms for 5 members, 20 ms for 32, 75 ms for 64 and 1.2 s for [MaxMembers]. Who wants
// failover without that wait calls Without for each member beforehand, in the background.
//
// # Shards
//
// [Partition] says in which partition a mailbox is, for good, and [Propose] on which shard each partition might live. It
// is a proposal because mail cannot follow a table: where a partition really is stands in the shards themselves.
//
// # How it is made
//
// Consistent hashing with bounded loads, from github.com/buraksezer/consistent: each member has 200 points on a circle
// of 64-bit hashes, a partition belongs to the next point, and who has 1.25 times the mean already passes it on. Its
// answers are copied into a flat table and the library's own structure is dropped. Names are hashed without a seed,
// keys with one: the tables may be known to anybody, but who does not know the seed cannot tell which addresses meet on
// which server.
package ring

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	// Partitions is how many parts the keys of clients are divided into. Each part belongs to one server.
	Partitions = 4093

	// MaxMembers bounds the servers of a ring, and the shards of a proposal.
	MaxMembers = 256
)

// Ring says which server owns which key. It is immutable and may be used by many goroutines. The zero Ring is the ring
// without members.
type Ring struct {
	members []string          // sorted, distinct
	owners  [Partitions]uint8 // indexes of members; means nothing while there are none
	digest  uint64

	kin *family // the rings of some of these members; nil in the zero Ring
	set set     // which of the family's names the members are
}

// New makes the ring of the servers with these names. Their order does not matter, and a name that is there twice
// counts once. No names make a ring that owns nothing. An empty name, or more than [MaxMembers], is an error.
func New(names []string) (*Ring, error) {
	members, err := distinct(names)
	if err != nil {
		return nil, fmt.Errorf("making the ring of servers: %w", err)
	}
	return newFamily(members).build(firstN(len(members)))
}

// distinct is names sorted, each once.
func distinct(names []string) ([]string, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 && names[0] == "" {
		return nil, fmt.Errorf("one of the %d names is empty; give each member a name", len(names))
	}
	if len(names) > MaxMembers {
		return nil, fmt.Errorf("%d members are too many; the limit is %d", len(names), MaxMembers)
	}
	return names, nil
}

// Owner is the name of the server that owns k. It is not ok in a ring without members.
func (r *Ring) Owner(k Key) (name string, ok bool) {
	if len(r.members) == 0 {
		return "", false
	}
	return r.members[r.owners[k%Partitions]], true
}

// Members are the names in the ring, sorted. The slice is the caller's.
func (r *Ring) Members() []string { return slices.Clone(r.members) }

// Digest is equal in two processes when their tables are: the same members, owning the same partitions. It is 0 for the
// ring without members. It is no secret. All 64 bits count: as a float64, which keeps 53, near digests look the same.
func (r *Ring) Digest() uint64 { return r.digest }

// digestOf hashes the names, each after its length, and then the table.
func digestOf(members []string, owners []uint8) uint64 {
	b := binary.AppendUvarint(nil, uint64(len(members)))
	for _, name := range members {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return xxhash.Sum64(append(b, owners...))
}
