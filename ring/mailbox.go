package ring

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"multichat/internal/chat"
)

const (
	// MailboxPartitions is how many partitions the mailboxes of a new cluster are divided into. An existing one keeps
	// the number that is stored in its shards.
	MailboxPartitions = 1021

	// MailboxHash names the hash that [Partition] uses, for shards to record and compare. It never changes its meaning.
	MailboxHash = "xxhash64"

	// maxPartitions bounds what a proposal may be asked for, far above any use.
	maxPartitions = 1 << 16
)

// Partition is the partition of a mailbox: the xxhash64 of its name under seed, modulo partitions. Seed and partitions
// are fixed when a cluster's shards are made; with others, mail is not found. The answer is in [0, partitions), and 0
// if partitions is below 1. It does not allocate.
func Partition(m chat.Mailbox, seed uint64, partitions int) int {
	if partitions < 1 {
		return 0
	}
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	d.WriteString(string(m))
	return int(d.Sum64() % uint64(partitions))
}

// Propose names a shard for each partition: element p is where partition p would best live. It depends on the names
// alone, not on their order. No shard gets more than 1.25 times the mean, rounded up.
//
// With one shard more, partitions go to the new one, and few between the others: of 1021, none with five shards, one
// with 16 and nine with 64 as a rule. It is an error to propose for no shards, for more than [MaxMembers], for one
// without a name, and for less than 1 or more than 65536 partitions.
func Propose(shards []string, partitions int) ([]string, error) {
	names, err := distinct(shards)
	if err != nil {
		return nil, fmt.Errorf("proposing where partitions live: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("proposing where partitions live: there is no shard; name at least one")
	}
	if partitions < 1 || partitions > maxPartitions {
		return nil, fmt.Errorf("proposing where partitions live: %d partitions; there may be 1 to %d",
			partitions, maxPartitions)
	}
	owners, err := place(names, shape{partitions, replicas, load})
	if err != nil {
		return nil, fmt.Errorf("proposing where partitions live: %w", err)
	}
	proposal := make([]string, partitions)
	for p, owner := range owners {
		proposal[p] = names[owner]
	}
	return proposal, nil
}
