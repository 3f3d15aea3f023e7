package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"multichat/internal/chat"
)

// passwordFlags say where a password comes from. It is never an argument, since everybody on the machine can read those.
type passwordFlags struct {
	PasswordFile string `type:"path" placeholder:"FILE" help:"File with the password; without it, the environment's MULTICHAT_PASSWORD, or a prompt."`
}

// password reads the password from the file, the environment or, on a terminal, a prompt without echo. With confirm, a
// prompt asks twice.
func (f passwordFlags) password(t terminal, user string, confirm bool) (chat.Secret, error) {
	var secret chat.Secret
	var err error
	fromEnv := os.Getenv("MULTICHAT_PASSWORD")
	switch {
	case f.PasswordFile != "":
		if secret, err = readSecretFile(f.PasswordFile); err != nil {
			return secret, usagef("--password-file: %w", err)
		}
	case fromEnv != "":
		secret = chat.NewSecret(fromEnv)
	case isTerminal(t.in):
		if secret, err = prompt(t, user, confirm); err != nil {
			return secret, err
		}
	default:
		return secret, usagef("there is no password: set MULTICHAT_PASSWORD or give --password-file")
	}
	if err := chat.CheckPassword(secret); err != nil {
		return secret, &exitError{exitUsage, err}
	}
	return secret, nil
}

// newPassword reads a password to be set, twice from a prompt.
func (f passwordFlags) newPassword(t terminal, user chat.UserID) (chat.Secret, error) {
	password, err := f.password(t, string(user), true)
	if err == nil && password.Len() == 0 {
		err = usagef("the password of %s is empty, so anybody could use it; give another", user)
	}
	return password, err
}

func prompt(t terminal, user string, confirm bool) (chat.Secret, error) {
	secret, err := ask(t, fmt.Sprintf("password of %s: ", user))
	if err != nil || !confirm {
		return secret, err
	}
	again, err := ask(t, "the same again: ")
	if err == nil && !secret.Equal(again) {
		err = errors.New("the two passwords differ; nothing was changed")
	}
	return secret, err
}

func ask(t terminal, question string) (chat.Secret, error) {
	fmt.Fprint(t.err, question)
	line, err := term.ReadPassword(int(t.in.(*os.File).Fd()))
	fmt.Fprintln(t.err)
	if err != nil {
		return chat.Secret{}, fmt.Errorf("read the password: %w", err)
	}
	return chat.NewSecret(string(line)), nil
}
