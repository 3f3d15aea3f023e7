package main

import (
	"context"
	"fmt"

	"multichat/internal/chat"
	"multichat/server"
	"multichat/shardstore"
)

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Add a user."`
	Passwd userPasswdCmd `cmd:"" help:"Change a user's password."`
	Remove userRemoveCmd `cmd:"" help:"Remove a user."`
	List   userListCmd   `cmd:"" help:"Print all users."`
}

type userAddCmd struct {
	UserID string `arg:"" name:"userid" help:"The userid: what others send to. 1 to 64 bytes without : ; % #."`
	Name   string `placeholder:"NAME" env:"MULTICHAT_USER_NAME" help:"The name shown beside the user's messages; default: the userid."`
	shardFlags
	passwordFlags
}

func (c *userAddCmd) Run(ctx context.Context, term terminal) error {
	u := chat.User{ID: chat.UserID(c.UserID), Name: c.Name}
	if u.Name == "" {
		u.Name = c.UserID
	}
	err := chat.CheckUserID(u.ID)
	if err == nil {
		err = chat.CheckName(u.Name)
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	password, err := c.newPassword(term, u.ID)
	if err != nil {
		return err
	}
	store, err := c.open(ctx, term)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := addUser(ctx, store, u, password); err != nil {
		return err
	}
	fmt.Fprintf(term.out, "user %s is ready\n", u.ID)
	return nil
}

// userPasswdCmd's password is the new one: whoever may write to the shards need not know the old one.
type userPasswdCmd struct {
	UserID string `arg:"" name:"userid" help:"The userid."`
	shardFlags
	passwordFlags
}

// Help is printed below the flags' summary.
func (userPasswdCmd) Help() string {
	return `The new password takes effect on all servers at once. Streams that were opened with the old one are closed within
5 seconds.`
}

func (c *userPasswdCmd) Run(ctx context.Context, term terminal) error {
	id := chat.UserID(c.UserID)
	if err := chat.CheckUserID(id); err != nil {
		return &exitError{exitUsage, err}
	}
	password, err := c.newPassword(term, id)
	if err != nil {
		return err
	}
	err = c.changeUser(ctx, term, id, func(ctx context.Context, store *shardstore.Store) error {
		return store.SetPassword(ctx, id, server.HashPassword(password, server.DefaultHashParams))
	})
	if err == nil {
		fmt.Fprintf(term.out, "user %s has a new password\n", id)
	}
	return err
}

type userRemoveCmd struct {
	UserID string `arg:"" name:"userid" help:"The userid."`
	shardFlags
}

// Help is printed below the flags' summary.
func (userRemoveCmd) Help() string {
	return `It takes effect on all servers at once: the user can no longer log in, nothing can be sent to the user, and open
streams are closed within 5 seconds. What was sent to the user is read by nobody any more, not even by a later user of
the same name, and is deleted when its time comes, as all messages are.`
}

func (c *userRemoveCmd) Run(ctx context.Context, term terminal) error {
	id := chat.UserID(c.UserID)
	if err := chat.CheckUserID(id); err != nil {
		return &exitError{exitUsage, err}
	}
	err := c.changeUser(ctx, term, id, func(ctx context.Context, store *shardstore.Store) error { return store.RemoveUser(ctx, id) })
	if err == nil {
		fmt.Fprintf(term.out, "user %s is removed\n", id)
	}
	return err
}

// changeUser opens the shards and changes a user who is there.
func (f shardFlags) changeUser(
	ctx context.Context, term terminal, id chat.UserID, change func(context.Context, *shardstore.Store) error,
) error {
	store, err := f.open(ctx, term)
	if err != nil {
		return err
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	if err := change(ctx, store); err != nil {
		return fmt.Errorf("user %s: %w", id, err)
	}
	return nil
}

func addUser(ctx context.Context, store *shardstore.Store, u chat.User, password chat.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	u.Hash = server.HashPassword(password, server.DefaultHashParams)
	if err := store.AddUser(ctx, u); err != nil {
		return fmt.Errorf("user %s: %w", u.ID, err)
	}
	return nil
}
