package shardstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"multichat/internal/chat"
)

var errCut = errors.New("cut off")

// cutShard does so many more steps of an initialisation, and then stands for a process that is gone.
type cutShard struct {
	Shard
	left *int
}

func (c cutShard) step() error {
	if *c.left--; *c.left < 0 {
		return errCut
	}
	return nil
}

func (c cutShard) Join(ctx context.Context, id Identity) (Identity, error) {
	if err := c.step(); err != nil {
		return Identity{}, err
	}
	return c.Shard.Join(ctx, id)
}

func (c cutShard) Reserve(ctx context.Context, floor chat.ShardNumber) (chat.ShardNumber, error) {
	if err := c.step(); err != nil {
		return 0, err
	}
	return c.Shard.Reserve(ctx, floor)
}

func (c cutShard) Heard(ctx context.Context, given chat.ShardNumber) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.Shard.Heard(ctx, given)
}

func (c cutShard) Place(ctx context.Context, plan Plan) (Plan, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	return c.Shard.Place(ctx, plan)
}

// An initialisation is cut off after each of its steps in turn, and then run again with one more shard.
func TestInitCutOffAnywhere(t *testing.T) {
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		specs := func(names ...string) (specs []Spec) {
			for _, name := range names {
				specs = append(specs, Spec{Name: name, URL: "sqlite:" + filepath.Join(dir, name)})
			}
			return specs
		}
		err := initCut(t.Context(), specs("b", "c"), steps)
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		finished := err == nil
		if err := Init(t.Context(), specs("a", "b", "c"), Options{}); err != nil {
			t.Fatalf("run again after %d steps: %v", steps, err)
		}
		store, err := Open(t.Context(), specs("a", "b", "c"), Options{})
		if err != nil {
			t.Fatalf("after %d steps: %v", steps, err)
		}
		if numbers := fmt.Sprint(store.Shards()); finished && numbers != "[0 1 2]" {
			t.Errorf("the shards have numbers %s", numbers)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if finished {
			if steps < 6 {
				t.Errorf("an initialisation took %d steps; is it still cut between them?", steps)
			}
			return
		}
	}
}

func initCut(ctx context.Context, specs []Spec, steps int) error {
	members, err := openAll(ctx, specs, true, Options{})
	if err != nil {
		return err
	}
	defer closeAll(members)
	for _, m := range members {
		m.shard = cutShard{m.shard, &steps}
	}
	return initialise(ctx, members)
}
