package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"multichat/shardstore"
)

type shardCmd struct {
	Init shardInitCmd `cmd:"" help:"Make databases the shards of a cluster, or add new ones to it."`
}

// shardFlags name the shards for the commands that work on them.
type shardFlags struct {
	Shard shardList `required:"" sep:"none" placeholder:"NAME=URL" help:"A shard; repeat it for every shard of the cluster. URL is sqlite:FILE."`
}

// shardList is what --shard gives. In the environment one variable holds them all, apart by white space.
type shardList []string

// betweenShards is the white space before a further NAME=URL; other white space is part of a file's name.
var betweenShards = regexp.MustCompile(`\s+(?:[a-z0-9._-]+=[a-z0-9]+:)`)

func (l shardList) specs() ([]shardstore.Spec, error) {
	var specs []shardstore.Spec
	for _, text := range l {
		for text != "" {
			one := text
			if at := betweenShards.FindStringIndex(text); at != nil {
				one = text[:at[0]]
			}
			spec, err := shardstore.ParseSpec(one)
			if err != nil {
				return nil, &exitError{exitUsage, err}
			}
			specs = append(specs, spec)
			text = strings.TrimSpace(text[len(one):])
		}
	}
	return specs, nil
}

// shardTime is how long a command that does one thing waits for the shards.
const shardTime = 10 * time.Second

// openStore opens all shards, for a command or a server.
func openStore(ctx context.Context, list shardList) (*shardstore.Store, error) {
	specs, err := list.specs()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	store, err := shardstore.Open(ctx, specs, shardstore.Options{})
	return store, shardError(err)
}

// shardError gives errors about shards their exit codes.
func shardError(err error) error {
	switch {
	case errors.Is(err, shardstore.ErrSpec):
		return &exitError{exitUsage, err}
	case errors.Is(err, shardstore.ErrUnreachable):
		return &exitError{exitUnreachable, err}
	}
	return err
}

type shardInitCmd struct {
	shardFlags
}

// Help is printed below the flags' summary.
func (shardInitCmd) Help() string {
	return `Name all shards of the cluster, the old ones too. What exists is left alone, so the command can be repeated.`
}

func (c *shardInitCmd) Run(ctx context.Context, term terminal) error {
	specs, err := c.Shard.specs()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	if err := shardstore.Init(ctx, specs, shardstore.Options{}); err != nil {
		return shardError(err)
	}
	if len(specs) == 1 {
		fmt.Fprintln(term.out, "1 shard is ready")
	} else {
		fmt.Fprintf(term.out, "%d shards are ready\n", len(specs))
	}
	return nil
}
