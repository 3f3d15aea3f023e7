package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"multichat/internal/chat"
)

type keysCmd struct {
	New keysNewCmd `cmd:"" help:"Print a new cluster key."`
}

type keysNewCmd struct{}

// Help is printed below the summary.
func (keysNewCmd) Help() string {
	return `The key is what the nodes of a cluster know each other by, and what they encrypt with. Keep it in a file that only
they can read:

	(umask 077; multichat keys new > cluster.key)`
}

func (keysNewCmd) Run(term terminal) error {
	_, err := fmt.Fprintln(term.out, newClusterKey())
	return err
}

// newClusterKey makes a key in the form of a key file: 32 random bytes in base64.
func newClusterKey() string {
	var key [chat.ClusterKeyBytes]byte
	rand.Read(key[:])
	return base64.StdEncoding.EncodeToString(key[:])
}

// readClusterKey reads a key file. White space around the key is ignored.
func readClusterKey(file string) (chat.Secret, error) {
	text, err := readSecretFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return chat.Secret{}, usagef(`--cluster-key-file: there is no file %s; make one with "multichat keys new"`, file)
	}
	if err != nil {
		return chat.Secret{}, usagef("--cluster-key-file: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(text.Reveal())
	if err != nil || len(key) != chat.ClusterKeyBytes {
		return chat.Secret{}, usagef(`--cluster-key-file: %s holds no cluster key, which is one line made by "multichat keys new"`, file)
	}
	return chat.NewSecret(string(key)), nil
}

// readSecretFile reads a file with one secret in it, without white space at its end.
func readSecretFile(file string) (chat.Secret, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return chat.Secret{}, err
	}
	return chat.NewSecret(strings.TrimRight(string(text), " \t\r\n")), nil
}
