package shardstore_test

import (
	"errors"
	"testing"

	"multichat/internal/chat"
	"multichat/shardstore"
)

func TestInspectLooksAtEachShardByItself(t *testing.T) {
	f := newFolder(t)
	f.init("a", "b")
	store := f.open("a", "b")
	defer store.Close()
	send(t, store, chat.Everyone, "1")
	f.write("c", "")
	specs := append(f.specs("a", "b", "c"), f.specs("missing")...)
	found, err := shardstore.Inspect(t.Context(), specs, shardstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	partitions, everyones := 0, 0
	for i, st := range found[:2] {
		partitions += st.Partitions
		if st.Everyone {
			everyones++
			if st.Messages != 1 || st.Newest == 0 {
				t.Errorf("%+v; want one message", st)
			}
		}
		if st.Err != nil || st.Name != specs[i].Name || st.Lacks != "" || st.Behind || st.Bytes == 0 || st.Version == "" {
			t.Errorf("%+v", st)
		}
	}
	if partitions != 1021 || everyones != 1 {
		t.Errorf("%d partitions, %d shards of %%; want 1021 and 1", partitions, everyones)
	}
	for _, st := range found[2:] {
		if !errors.Is(st.Err, shardstore.ErrNotInitialised) {
			t.Errorf("%s: %v, want ErrNotInitialised", st.Name, st.Err)
		}
	}
}
