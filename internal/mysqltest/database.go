package mysqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// Database makes an empty database with a random name, and an account with all rights in it and none besides, as README
// advises. The URL is the account's in multichat's form. db is the same account's, for what an operator does there;
// for what needs more rights there is [Server.AdminDB]. All ends with the test.
//
// A server that the environment names is used with the account that was given.
func (s *Server) Database(t testing.TB) (url string, db *sql.DB) {
	t.Helper()
	name := "multichat" + strings.ToLower(rand.Text()[:10])
	s.do(t, statement{text: "CREATE DATABASE `" + name + "`"})
	if s.lasting { // the others go with their server, which may be down by then
		t.Cleanup(func() {
			s.do(t, statement{text: "SET lock_wait_timeout = 20"}, statement{text: "DROP DATABASE `" + name + "`"})
		})
	}
	account := s.admin
	if s.own != nil {
		account = s.newAccount(t, name, rand.Text())
	}
	db = account.open(name)
	t.Cleanup(func() { db.Close() })
	return account.url(name, s.secretFile(t, account.password)), db
}

// Account makes one more account with all rights in a database, and none besides, and returns its URL. An empty password
// stands for a random one. It ends with the test.
func (s *Server) Account(t testing.TB, database, password string) (url string) {
	t.Helper()
	if password == "" {
		password = rand.Text()
	}
	account := s.newAccount(t, database, password)
	return account.url(database, s.secretFile(t, password))
}

// AdminDB gives connections of an account that may do everything, to no database in particular. They are closed at the
// test's end. On a server that the environment names it is the account that was given.
func (s *Server) AdminDB(t testing.TB) *sql.DB {
	t.Helper()
	db := s.admin.open("")
	t.Cleanup(func() { db.Close() })
	return db
}

func (s *Server) newAccount(t testing.TB, database, password string) login {
	t.Helper()
	account := login{addr: s.admin.addr, user: "chat" + strings.ToLower(rand.Text()[:10]), password: password}
	name := "'" + account.user + "'@'%'"
	err := s.exec(
		statement{text: "CREATE USER " + name + " IDENTIFIED BY ?", args: []any{password}},
		statement{text: "GRANT ALL ON `" + database + "`.* TO " + name})
	if s.own == nil && isDenied(err) {
		err = fmt.Errorf("%w: %w", errNoProgram, err)
	}
	settle(t, err)
	if s.lasting {
		t.Cleanup(func() { s.do(t, statement{text: "DROP USER " + name}) })
	}
	return account
}

// secretFile writes a password to a file that lives as long as the server.
func (s *Server) secretFile(t testing.TB, password string) string {
	t.Helper()
	name := filepath.Join(s.secrets, rand.Text())
	if err := os.WriteFile(name, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// do runs statements as the server's admin.
func (s *Server) do(t testing.TB, statements ...statement) {
	t.Helper()
	if err := s.exec(statements...); err != nil {
		t.Fatal(err)
	}
}

// exec has no context from outside, since it is used in clean-up too, when the test's own is done.
func (s *Server) exec(statements ...statement) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.admin.exec(ctx, statements...)
}

// isDenied tells that the account may not do what it tried: 1044, 1142 and 1227 for want of a right, 1410 for a GRANT to a
// new user.
func isDenied(err error) bool {
	refusal, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && slices.Contains([]uint16{1044, 1142, 1227, 1410}, refusal.Number)
}
