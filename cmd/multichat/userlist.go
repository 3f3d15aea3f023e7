package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"multichat/internal/chat"
)

type userListCmd struct {
	JSON bool `help:"Print a JSON object a line, with userid and name."`
	shardFlags
}

// Help is printed below the flags' summary.
func (userListCmd) Help() string {
	return `Name all shards of the cluster: the users of all of them are printed, sorted by userid.`
}

func (c *userListCmd) Run(ctx context.Context, term terminal) error {
	store, err := c.open(ctx, term)
	if err != nil {
		return err
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	users, err := store.ListUsers(ctx)
	if err != nil {
		return err
	}
	printUsers := printUserTable
	if c.JSON {
		printUsers = printUserLines
	}
	if err := printUsers(term.out, users); err != nil {
		return fmt.Errorf("print the users: %w", err)
	}
	return nil
}

func printUserTable(w io.Writer, users []chat.User) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "USERID\tNAME")
	for _, u := range users {
		fmt.Fprintf(table, "%s\t%s\n", u.ID, u.Name)
	}
	return table.Flush()
}

// userLine is a user as user list --json prints it. There may be many, so each has a line, as each message of recv.
type userLine struct {
	UserID chat.UserID `json:"userid"`
	Name   string      `json:"name"`
}

func printUserLines(w io.Writer, users []chat.User) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for _, u := range users {
		if err := encoder.Encode(userLine{u.ID, u.Name}); err != nil {
			return err
		}
	}
	return buffered.Flush()
}
