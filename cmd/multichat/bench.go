package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"

	"multichat/internal/bench"
	"multichat/internal/chat"
	"multichat/server"
	"multichat/shardstore"
)

type benchCmd struct {
	proxyFlags
	User  []chat.UserID `required:"" xor:"users" placeholder:"USERID" help:"A user who sends and reads; two at least, and all with one password."`
	Shard shardList     `required:"" xor:"users" sep:"none" placeholder:"NAME=URL" help:"A shard, as for user add; repeat it for every shard of the cluster. Users are made there, instead of --user."`
	Users int           `default:"20" help:"How many users to make for the time of the run."`

	Seconds   int  `default:"10" help:"How long to send, in seconds."`
	Rate      int  `default:"0" placeholder:"N" help:"Messages a second of all users; without it, as many as are answered."`
	Window    int  `default:"16" help:"How many messages of a user are unanswered at a time, at most."`
	Size      int  `default:"100" help:"Bytes of each message."`
	Broadcast int  `default:"0" help:"Percent of the messages that go to everyone: to all users of the cluster."`
	Check     bool `help:"Have what the clients saw judged: whether anything was lost, doubled, out of order or given to others. It remembers every message."`
	JSON      bool `help:"Print the report as one JSON object."`

	shardSettings
	passwordFlags
}

// Help is printed below the flags' summary.
func (benchCmd) Help() string {
	return `Each user keeps one stream open, sends to the others and reads. With --shard it makes users of its own, and removes them at
the end; without it, name users who are there for this: what waits for them is taken and forgotten. A user may send 200 messages a second unless --max-user-sends of the
servers says otherwise, so few users find that limit and not the cluster's.

Latencies count from when a message is due: with --rate, what a slow system holds up counts in full. It ends with 0 if
all that was stored was also delivered, and with --check if nothing else was wrong either.`
}

// AfterApply is called by kong when all flags are read.
func (c *benchCmd) AfterApply(parsed *kong.Context) error { return c.Shard.checkArguments(parsed) }

func (c *benchCmd) Run(ctx context.Context, term terminal) (err error) {
	if c.Seconds < 1 || c.Seconds > 3600 {
		return usagef("--seconds %d is not between 1 and 3600", c.Seconds)
	}
	cfg := bench.Config{Proxies: c.Proxy, Users: c.User, Duration: time.Duration(c.Seconds) * time.Second, Rate: c.Rate,
		Window: c.Window, Size: c.Size, Broadcast: c.Broadcast, Check: c.Check, Progress: showBench(term.err)}
	if cfg.TLS, err = c.tls(); err != nil {
		return err
	}
	if len(c.User) > 0 {
		if cfg.Password, err = c.password(term, "the users", false); err != nil {
			return err
		}
		return c.run(ctx, term, cfg)
	}
	store, err := shardFlags{c.Shard, c.shardSettings}.open(ctx, term)
	if err != nil {
		return err
	}
	defer store.Close()
	guests, err := addGuests(ctx, term.err, store, c.Users)
	defer func() { err = errors.Join(err, guests.remove(context.WithoutCancel(ctx), store)) }()
	if err != nil {
		return err
	}
	cfg.Users, cfg.Password = guests.ids, guests.password
	return c.run(ctx, term, cfg)
}

func (c *benchCmd) run(ctx context.Context, term terminal, cfg bench.Config) error {
	if err := cfg.Validate(); err != nil {
		return &exitError{exitUsage, err}
	}
	report, err := bench.Run(ctx, cfg)
	if err != nil {
		return clientError(err)
	}
	if c.JSON {
		encoder := json.NewEncoder(term.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(&report)
	} else {
		_, err = io.WriteString(term.out, report.String())
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return report.Err()
}

// showBench prints a line a second.
func showBench(w io.Writer) func(bench.Progress) {
	last := bench.Progress{}
	return func(p bench.Progress) {
		fmt.Fprintf(w, "multichat: %3.0f s: %d stored/s, %d received/s, %d failed so far\n",
			p.Elapsed.Seconds(), p.Stored-last.Stored, p.Received-last.Received, p.Failed)
		last = p
	}
}

// guests are users who are there for a run only.
type guests struct {
	ids      []chat.UserID
	password chat.Secret
}

const maxGuests = 10_000

// addGuests makes users with one password, and one hash of it: nobody else ever learns either. Those that were made are
// returned also with an error.
func addGuests(ctx context.Context, progress io.Writer, store *shardstore.Store, n int) (g guests, err error) {
	if n < 2 || n > maxGuests {
		return g, usagef("--users %d is not between 2 and %d", n, maxGuests)
	}
	g.password = chat.NewSecret(rand.Text())
	hash := server.HashPassword(g.password, server.DefaultHashParams)
	prefix := fmt.Sprintf("bench-%d-", time.Now().UnixNano())
	fmt.Fprintf(progress, "multichat: the users are %s1 to %[1]s%d, until the end\n", prefix, n)
	told := time.Now()
	for i := range n {
		u := chat.User{ID: chat.UserID(fmt.Sprint(prefix, i+1)), Name: "bench", Hash: hash}
		g.ids = append(g.ids, u.ID) // also if nobody knows whether it is there then
		if err := withinShardTime(ctx, func(ctx context.Context) error { return store.AddUser(ctx, u) }); err != nil {
			return g, fmt.Errorf("add user %s: %w", u.ID, err)
		}
		if time.Since(told) > 2*time.Second {
			told = time.Now()
			fmt.Fprintf(progress, "multichat: %d of %d users are made\n", i+1, n)
		}
	}
	return g, nil
}

// remove removes the guests. What is left is named; a shard that does not answer is asked for at most maxFailures of them.
func (g guests) remove(ctx context.Context, store *shardstore.Store) error {
	const maxFailures = 3
	failures := make(map[chat.ShardNumber]int)
	var left []string
	var why error
	for _, id := range g.ids {
		shard := store.Locate(id.Mailbox())
		if failures[shard] < maxFailures {
			err := withinShardTime(ctx, func(ctx context.Context) error { return store.RemoveUser(ctx, id) })
			if err == nil || errors.Is(err, shardstore.ErrNoUser) {
				continue
			}
			failures[shard]++
			why = err
		}
		left = append(left, string(id))
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("%d users of this run are still there, %s and so on: %w; remove them with `multichat user remove`", len(left), left[0], why)
}

func withinShardTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	return do(ctx)
}
