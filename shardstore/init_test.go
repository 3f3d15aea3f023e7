package shardstore_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/shardstore"
)

func TestInitAgainLeavesAlone(t *testing.T) {
	f := newFolder(t)
	f.init("a", "b")
	before := placementOf(f.open("a", "b"))
	f.init("b", "a")
	if after := placementOf(f.open("a", "b")); !slices.Equal(before, after) {
		t.Error("mailboxes have moved")
	}
}

// placementOf is where a fixed choice of mailboxes lives.
func placementOf(store *shardstore.Store) []chat.ShardNumber {
	var shards []chat.ShardNumber
	for r := range rune(500) {
		shards = append(shards, store.Locate(chat.Mailbox('A'+r)))
	}
	return shards
}

func TestInitGivesAddedShardsTheNextNumberAndNoPartitions(t *testing.T) {
	f := newFolder(t)
	f.init("m")
	before := placementOf(f.open("m"))
	f.init("m", "a", "z") // names before and after the first
	store := f.open("m", "a", "z")
	if got := store.Shards(); !slices.Equal(got, []chat.ShardNumber{0, 1, 2}) || store.Name(0) != "m" {
		t.Errorf("shards %v, number 0 is %s", got, store.Name(0))
	}
	if after := placementOf(store); !slices.Equal(before, after) {
		t.Error("mailboxes have moved")
	}
}

func TestInitNeverGivesANumberTwice(t *testing.T) {
	f := newFolder(t)
	f.init("a")
	f.init("a", "b")
	f.init("a", "c") // b was retired: it had no partitions, and its rows may be anywhere
	store := f.open("a", "c")
	if got := store.Shards(); !slices.Equal(got, []chat.ShardNumber{0, 2}) {
		t.Errorf("shards %v, want 0 and 2", got)
	}
	f.exec("a", "UPDATE meta SET v = CAST('1023' AS BLOB) WHERE k = CAST('highest' AS BLOB)")
	err := shardstore.Init(t.Context(), f.specs("a", "c", "d"), shardstore.Options{})
	if !errors.Is(err, shardstore.ErrSpec) || !strings.Contains(err.Error(), "1024 shard numbers") {
		t.Errorf("with no number left: %v", err)
	}
}

func TestInitRefusesShardsOfTwoClusters(t *testing.T) {
	f := newFolder(t)
	f.init("a")
	f.init("b")
	err := shardstore.Init(t.Context(), f.specs("a", "b", "c"), shardstore.Options{})
	if !errors.Is(err, shardstore.ErrWrongCluster) {
		t.Errorf("%v, want ErrWrongCluster", err)
	}
	f.open("a")
	f.open("b")
}

func TestInitRefusesAnotherProgramsDatabase(t *testing.T) {
	f := newFolder(t)
	f.exec("b", "CREATE TABLE bookmarks (url TEXT)")
	if err := shardstore.Init(t.Context(), f.specs("a", "b"), shardstore.Options{}); !errors.Is(err, shardstore.ErrForeign) {
		t.Errorf("%v, want ErrForeign", err)
	}
	f.init("a")
}

func TestInitTwiceAtOnce(t *testing.T) {
	for range 3 {
		f := newFolder(t)
		orders := [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"b", "a", "c"}, {"c", "a", "b"}}
		errs := make([]error, len(orders))
		var wg sync.WaitGroup
		for i, names := range orders {
			wg.Go(func() { errs[i] = shardstore.Init(t.Context(), f.specs(names...), shardstore.Options{}) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if n := len(f.open("a", "b", "c").Shards()); n != 3 {
			t.Errorf("%d shards", n)
		}
	}
}
