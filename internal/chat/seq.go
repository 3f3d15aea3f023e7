package chat

import "strconv"

// Seq is a message's place in its shard, and so in its mailbox: a larger one was committed later. It is the shard's
// counter times [MaxShards] plus the shard's number, and so unique over all shards. Zero is before every message.
type Seq int64

// ShardNumber tells shards apart. It is given once, when a shard is made, and never again.
type ShardNumber uint16

// MaxShards bounds shard numbers: they are below it.
const MaxShards = 1024

// SeqAt is the seq that the shard with this number gives for this value of its counter.
func SeqAt(counter int64, shard ShardNumber) Seq {
	return Seq(counter*MaxShards + int64(shard))
}

// Counter is the value of the shard's counter that s was made from.
func (s Seq) Counter() int64 { return int64(s) / MaxShards }

// Shard is the number of the shard that gave s.
func (s Seq) Shard() ShardNumber { return ShardNumber(int64(s) % MaxShards) }

func (s Seq) String() string { return strconv.FormatInt(int64(s), 10) }
