package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"multichat/internal/chat"
	"multichat/shardstore"
)

// shardFlags name the shards.
type shardFlags struct {
	Shard shardList `required:"" sep:"none" placeholder:"NAME=URL" help:"A shard; repeat it for every shard of the cluster. URL is mysql://USER@HOST[:PORT][,HOST…]/DB[?password-file=PATH][&tls=MODE] or sqlite:FILE."`
	shardSettings
}

// shardSettings are what shards are opened with.
type shardSettings struct {
	ShardPasswordFile string `type:"path" placeholder:"FILE" help:"File with the password of the MySQL shards whose URL has none; without it, the environment's MULTICHAT_SHARD_PASSWORD."`
	AllowNondurable   bool   `help:"Take MySQL shards that may lose, when they are killed, what was acknowledged."`
}

// AfterApply is called by kong when all flags are read. Everybody on the machine can read arguments, and only arguments.
func (f shardFlags) AfterApply(parsed *kong.Context) error { return f.Shard.checkArguments(parsed) }

func (l shardList) checkArguments(parsed *kong.Context) error {
	specs, err := l.specs()
	if err != nil || !isArgument(parsed, "shard") {
		return err
	}
	for _, spec := range specs {
		if spec.HasPassword() {
			return fmt.Errorf("shard %s: its password is an argument, which everybody on this machine can read: give it by "+
				"--shard-password-file or MULTICHAT_SHARD_PASSWORD, or the whole URL in MULTICHAT_SHARD, and choose a new one", spec)
		}
	}
	return nil
}

// options are the settings that all shards are opened with. Nothing else reads the shards' password.
func (f shardSettings) options() shardstore.Options {
	opt := shardstore.Options{PasswordFile: f.ShardPasswordFile, AllowNondurable: f.AllowNondurable}
	if f.ShardPasswordFile == "" {
		opt.Password = chat.NewSecret(os.Getenv("MULTICHAT_SHARD_PASSWORD"))
	}
	return opt
}

// open opens all shards for a command that does one thing.
func (f shardFlags) open(ctx context.Context, term terminal) (store *shardstore.Store, err error) {
	err = f.once(ctx, term, func(ctx context.Context, specs []shardstore.Spec, opt shardstore.Options) (err error) {
		store, err = shardstore.Open(ctx, specs, opt)
		return err
	})
	return store, err
}

// shardList is what --shard gives. In the environment one variable holds them all, apart by white space.
type shardList []string

// betweenShards is the white space before a further NAME=URL; other white space is part of a file's name.
var betweenShards = regexp.MustCompile(`\s+(?:[a-z0-9._-]+=[a-z0-9]+:)`)

func (l shardList) specs() ([]shardstore.Spec, error) {
	var specs []shardstore.Spec
	for _, one := range l.split() {
		spec, err := shardstore.ParseSpec(one)
		if err != nil {
			return nil, usagef("--shard: %w", err)
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// split is each NAME=URL by itself.
func (l shardList) split() (all []string) {
	for _, text := range l {
		for text != "" {
			one := text
			if at := betweenShards.FindStringIndex(text); at != nil {
				one = text[:at[0]]
			}
			all = append(all, one)
			text = strings.TrimSpace(text[len(one):])
		}
	}
	return all
}
