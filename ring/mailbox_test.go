package ring

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"multichat/internal/chat"
)

func TestPartitionIsInRange(t *testing.T) {
	for _, partitions := range []int{-5, 0, 1, 2, MailboxPartitions, math.MaxInt} {
		for _, m := range []chat.Mailbox{"", "%", "alice", "bob"} {
			if p := Partition(m, 7, partitions); p < 0 || p >= max(1, partitions) {
				t.Errorf("%q is in partition %d of %d", m, p, partitions)
			}
		}
	}
}

func TestPartitionSpreads(t *testing.T) {
	shares := make([]int, MailboxPartitions)
	const each = 100
	for i := range each * MailboxPartitions {
		shares[Partition(chat.Mailbox(fmt.Sprintf("user%d", i)), 7, MailboxPartitions)]++
	}
	if least, most := slices.Min(shares), slices.Max(shares); least < each/2 || most > each*2 {
		t.Errorf("with %d mailboxes for each partition, one has %d and one %d", each, least, most)
	}
}

func TestPartitionAllocatesNothing(t *testing.T) {
	m := chat.Mailbox("alice")
	if n := testing.AllocsPerRun(1000, func() { Partition(m, 7, MailboxPartitions) }); n != 0 {
		t.Errorf("a partition costs %v allocations", n)
	}
}

func TestProposeRefuses(t *testing.T) {
	for _, tc := range []struct {
		name       string
		shards     []string
		partitions int
		want       string
	}{
		{"no shard", nil, 7, "there is no shard; name at least one"},
		{"an empty name", []string{"", "a"}, 7, "one of the 2 names is empty"},
		{"too many shards", numbered(MaxMembers + 1), 7, "257 members are too many"},
		{"no partition", []string{"a"}, 0, "0 partitions; there may be 1 to 65536"},
		{"too many partitions", []string{"a"}, 1<<16 + 1, "65537 partitions; there may be 1 to 65536"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proposal, err := Propose(tc.shards, tc.partitions)
			if err == nil || !strings.Contains(err.Error(), tc.want) || proposal != nil {
				t.Errorf("got %d places and %v; want an error with %q", len(proposal), err, tc.want)
			}
		})
	}
}

func mustPropose(t *testing.T, shards []string) []string {
	t.Helper()
	proposal, err := Propose(shards, MailboxPartitions)
	if err != nil {
		t.Fatalf("Propose(%q): %v", shards, err)
	}
	return proposal
}

// A shard more: partitions go to it, and few between the others. What is few was measured; see Propose.
func TestProposeForOneShardMore(t *testing.T) {
	for _, tc := range []struct{ shards, mayMove int }{
		{1, 0}, {2, 0}, {3, 0}, {4, 0}, {7, 10}, {15, 10}, {31, 15}, {63, 20},
	} {
		t.Run(fmt.Sprintf("%d and one", tc.shards), func(t *testing.T) {
			names := numbered(tc.shards + 1)
			added := names[tc.shards]
			before, after := mustPropose(t, names[:tc.shards]), mustPropose(t, names)
			moved := 0
			shares := make(map[string]int)
			for p, shard := range after {
				shares[shard]++
				if shard != added && shard != before[p] {
					moved++
				}
			}
			if moved > tc.mayMove {
				t.Errorf("%d partitions moved between the others; %d may", moved, tc.mayMove)
			}
			most := int(math.Ceil(MailboxPartitions * load / float64(len(names))))
			for _, shard := range names {
				if shares[shard] == 0 || shares[shard] > most {
					t.Errorf("%s has %d partitions; the load allows %d", shard, shares[shard], most)
				}
			}
		})
	}
}

func TestProposeTakesNamesAsASet(t *testing.T) {
	if !slices.Equal(mustPropose(t, []string{"b", "a", "c", "a"}), mustPropose(t, []string{"a", "b", "c"})) {
		t.Error("another order and a duplicate gave another proposal")
	}
}
