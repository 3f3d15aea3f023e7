package main

import (
	"context"
	"fmt"

	"multichat/internal/chat"
	"multichat/server"
	"multichat/shardstore"
)

type userCmd struct {
	Add userAddCmd `cmd:"" help:"Add a user."`
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
	password, err := c.password(term, c.UserID, true)
	if err != nil {
		return err
	}
	if password.Len() == 0 {
		return usagef("the password of %s is empty, so anybody could use it; give another", c.UserID)
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

func addUser(ctx context.Context, store *shardstore.Store, u chat.User, password chat.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, shardTime)
	defer cancel()
	u.Hash = server.HashPassword(password, server.DefaultHashParams)
	if err := store.AddUser(ctx, u); err != nil {
		return fmt.Errorf("user %s: %w", u.ID, err)
	}
	return nil
}
