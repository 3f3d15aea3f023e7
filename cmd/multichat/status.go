package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"multichat/internal/chat"
	"multichat/shardstore"
)

type shardStatusCmd struct {
	JSON bool `help:"Print a JSON array with an object for each shard; what is not known is left out."`
	shardFlags
}

// Help is printed below the flags' summary.
func (shardStatusCmd) Help() string {
	return `It changes nothing. % is yes for the shard that keeps what is sent to everyone. CLOCK is how far the database's
clock is ahead of this machine's. It ends with 0 if all shards are fit to serve, with 4 if one does not answer, and with
1 if anything else is wrong with one; with --allow-nondurable, not being durable is not wrong.`
}

func (c *shardStatusCmd) Run(ctx context.Context, term terminal) error {
	specs, err := c.Shard.specs()
	if err != nil {
		return err
	}
	found, err := shardstore.Inspect(ctx, specs, c.options())
	if err != nil {
		return shardError(err)
	}
	printStatus := printStatusTable
	if c.JSON {
		printStatus = printStatusJSON
	}
	if err := printStatus(term.out, found); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	return c.verdict(found)
}

// verdict is the exit code in the form of an error.
func (c *shardStatusCmd) verdict(found []shardstore.Status) error {
	silent, wrong := 0, 0
	for _, st := range found {
		switch {
		case isUnreachable(st.Err):
			silent++
		case st.Err != nil, st.Behind, st.Lacks != "" && !c.AllowNondurable:
			wrong++
		}
	}
	switch {
	case silent > 0:
		return &exitError{exitUnreachable, fmt.Errorf("of %d shards, %d cannot be reached", len(found), silent)}
	case wrong > 0:
		return fmt.Errorf("of %d shards, %d cannot serve as they are", len(found), wrong)
	}
	return nil
}

// printStatusTable prints a line for each shard; its state, which may be a sentence, comes last.
func printStatusTable(w io.Writer, found []shardstore.Status) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SHARD\tVERSION\tNUMBER\tPARTITIONS\t%\tMESSAGES\tSIZE\tDURABLE\tCLOCK\tSTATE")
	for _, st := range found {
		if st.Err != nil {
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\t-\t-\t-\t-\t%s\n", st.Name, sentence(st.Err))
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%d\t%s\t%s\t%+d ms\t%s\n", st.Name, st.Version, st.Number, st.Partitions,
			yesNo(st.Everyone), st.Messages, size(st.Bytes), yesNo(st.Lacks == ""), st.Clock.Milliseconds(), state(st))
	}
	return table.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// state says what keeps a shard that could be looked at from serving.
func state(st shardstore.Status) string {
	var wrong []string
	if st.Behind {
		wrong = append(wrong, "restored from a backup, needs multichat shard lift")
	}
	if st.Lacks != "" {
		wrong = append(wrong, "lacks "+st.Lacks)
	}
	if len(wrong) == 0 {
		return "ok"
	}
	return strings.Join(wrong, "; ")
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	value, unit := float64(bytes), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, larger
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// shardStatus is a shard as shard status --json prints it.
type shardStatus struct {
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`
	Error     string `json:"error,omitempty"`
	*shardFacts
}

// shardFacts are known of a shard without an error.
type shardFacts struct {
	Version    string           `json:"version"`
	Number     chat.ShardNumber `json:"number"`
	Partitions int              `json:"partitions"`
	Everyone   bool             `json:"everyone"` // it serves %
	Messages   int64            `json:"messages"`
	Bytes      int64            `json:"bytes"`
	Durable    bool             `json:"durable"`
	Lacks      string           `json:"lacks"` // what it is not durable without
	ClockMS    int64            `json:"clock_ms"`
	NeedsLift  bool             `json:"needs_lift"`
}

func printStatusJSON(w io.Writer, found []shardstore.Status) error {
	lines := make([]shardStatus, len(found))
	for i, st := range found {
		lines[i] = shardStatus{Name: st.Name, Reachable: !isUnreachable(st.Err)}
		if st.Err != nil {
			lines[i].Error = sentence(st.Err)
			continue
		}
		lines[i].shardFacts = &shardFacts{Version: st.Version, Number: st.Number, Partitions: st.Partitions,
			Everyone: st.Everyone, Messages: st.Messages, Bytes: st.Bytes, Durable: st.Lacks == "", Lacks: st.Lacks,
			ClockMS: st.Clock.Milliseconds(), NeedsLift: st.Behind}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(lines)
}
