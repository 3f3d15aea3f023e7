package chat_test

import (
	"math"
	"strconv"
	"testing"
	"testing/quick"

	"multichat/internal/chat"
)

func TestSeqIsMadeOfCounterAndShard(t *testing.T) {
	for _, tc := range []struct {
		counter int64
		shard   chat.ShardNumber
		seq     chat.Seq
	}{
		{0, 0, 0},
		{0, 1, 1},
		{1, 0, 1024},
		{1, 1023, 2047},
		{2, 0, 2048},
		{math.MaxInt64 / 1024, 1023, math.MaxInt64},
	} {
		if got := chat.SeqAt(tc.counter, tc.shard); got != tc.seq {
			t.Errorf("SeqAt(%d, %d) is %d, want %d", tc.counter, tc.shard, got, tc.seq)
		}
	}
}

func TestSeqGivesItsPartsBack(t *testing.T) {
	err := quick.Check(func(counter int64, shard uint16) bool {
		counter, number := counter&(1<<53-1), chat.ShardNumber(shard%chat.MaxShards)
		s := chat.SeqAt(counter, number)
		return s.Counter() == counter && s.Shard() == number && s.String() == strconv.FormatInt(int64(s), 10)
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

// Whatever shards give them, a later count is a larger seq, and no two shards give the same.
func TestSeqsGrowWithTheCounterAndAreUnique(t *testing.T) {
	err := quick.Check(func(counter int64, a, b uint16) bool {
		counter, first, second := counter&(1<<52-1), chat.ShardNumber(a%chat.MaxShards), chat.ShardNumber(b%chat.MaxShards)
		same := chat.SeqAt(counter, first) == chat.SeqAt(counter, second)
		return chat.SeqAt(counter+1, first) > chat.SeqAt(counter, second) && same == (first == second)
	}, nil)
	if err != nil {
		t.Error(err)
	}
}
