package main

import (
	"context"
	"fmt"

	"multichat/shardstore"
)

type shardCmd struct {
	Init   shardInitCmd   `cmd:"" help:"Make databases the shards of a cluster, or add new ones to it."`
	Status shardStatusCmd `cmd:"" help:"Print what can be said of each shard, and whether it is fit to serve."`
	Lift   shardLiftCmd   `cmd:"" help:"Make shards that were restored from a backup serve again."`
}

type shardInitCmd struct {
	shardFlags
}

// Help is printed below the flags' summary.
func (shardInitCmd) Help() string {
	return `Name all shards of the cluster, the old ones too. What exists is left alone, so the command can be repeated.`
}

func (c *shardInitCmd) Run(ctx context.Context, term terminal) error {
	if err := c.once(ctx, term, shardstore.Init); err != nil {
		return err
	}
	return c.say(term, "ready")
}

type shardLiftCmd struct {
	shardFlags
}

// Help is printed below the flags' summary.
func (shardLiftCmd) Help() string {
	return `Run it after restoring a backup of any shard, before servers start again. Name all shards of the cluster. A
restored shard does not know which numbers it gave to messages since the backup; this raises its counter above all of
them, so that no number is given twice and no reader passes over what is new. It does the other shards no harm.`
}

func (c *shardLiftCmd) Run(ctx context.Context, term terminal) error {
	if err := c.once(ctx, term, shardstore.Lift); err != nil {
		return err
	}
	return c.say(term, "lifted: servers may start")
}

// say prints what has become of all shards.
func (f shardFlags) say(term terminal, what string) error {
	specs, err := f.Shard.specs()
	if err != nil {
		return err
	}
	are := "shards are"
	if len(specs) == 1 {
		are = "shard is"
	}
	_, err = fmt.Fprintf(term.out, "%d %s %s\n", len(specs), are, what)
	return err
}
