// Command multichat is everything of multichat: the proxy and the server, a demo of a whole cluster in one process, and
// the tools that make keys, shards and users, send and receive.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"multichat/internal/chat"
)

// cli is the command line. Every setting is also an environment variable: MULTICHAT_ and the flag's name in capitals.
type cli struct {
	Demo    demoCmd    `cmd:"" help:"Run a whole cluster in this process: the way to try multichat."`
	Proxy   proxyCmd   `cmd:"" help:"Run a proxy: the public ports, and the way to the servers."`
	Server  serverCmd  `cmd:"" help:"Run a chat server, behind proxies or by itself."`
	Client  clientCmd  `cmd:"" help:"Chat: print messages as they come, and send what is typed."`
	Send    sendCmd    `cmd:"" help:"Send one message, or each line of standard input."`
	Recv    recvCmd    `cmd:"" help:"Print messages as they come."`
	User    userCmd    `cmd:"" help:"Manage users."`
	Shard   shardCmd   `cmd:"" help:"Manage shards, the databases that hold messages and users."`
	Keys    keysCmd    `cmd:"" help:"Make keys."`
	Config  configCmd  `cmd:"" help:"Show settings."`
	Bench   benchCmd   `cmd:"" help:"Find out what a running cluster bears."`
	Health  healthCmd  `cmd:"" help:"Ask a proxy or a server whether it is ready to serve."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

const description = `A chat system in three tiers: proxies own the public ports and route each client by its address
to a server; servers know the rules; shards keep the messages. Try it with "multichat demo".

Every flag can also be set by an environment variable, named in the help of each command; a flag wins.
Exit codes: 0 done, 2 wrong usage, 3 wrong user or password, 4 no answer, 5 outcome unknown, 1 anything else.`

// terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// say prints what is not the command's result.
func (t terminal) say(text string) { fmt.Fprintln(t.err, text) }

func main() {
	forgetEmpty()
	os.Exit(run(os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr}))
}

func run(args []string, term terminal) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once; but not one that came with the first, as from what signals a process and
	// its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })

	var c cli
	exited := -1
	parser := kong.Must(&c,
		kong.Name("multichat"),
		kong.Description(description),
		kong.DefaultEnvars("MULTICHAT"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Writers(term.out, term.err),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(term),
	)
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited // help was asked for, and printed
	}
	tellMisspelt(term.err, parser.Model)
	if err != nil {
		fmt.Fprintf(term.err, "multichat: %s; see multichat%s --help\n", parseError(err), commandOf(err))
		return exitUsage
	}
	err = parsed.Run()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && isDaemon(parsed.Command()) {
		return exitDone // it was told to end before it had begun
	}
	return report(term, parsed, err)
}

// sameSignal is how long after the first signal another one counts as the same.
const sameSignal = 500 * time.Millisecond

// isDaemon says of a command that it runs until it is told to end.
func isDaemon(command string) bool {
	return command == "demo" || command == "proxy" || command == "server"
}

// commandOf is the command that a parse error is about, with a space before it, for the advice to read its help.
func commandOf(err error) string {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parse.Context == nil || parse.Context.Command() == "" {
		return ""
	}
	words, _, _ := strings.Cut(parse.Context.Command(), " <")
	return " " + words
}

// urlSecret is a user and a password in a URL.
var urlSecret = regexp.MustCompile(`://([^\s:@]*):\S*@`)

// withoutSecrets is a parse error without the passwords of URLs: it may repeat an argument that is in the wrong place.
func withoutSecrets(err error) string { return urlSecret.ReplaceAllString(err.Error(), "://…@") }

// Exit codes. Scripts decide by them.
const (
	exitDone        = 0
	exitFailure     = 1
	exitUsage       = 2
	exitAuth        = 3
	exitUnreachable = 4
	exitUnknown     = 5
)

// exitError is an error that wants a particular exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the person who called: exit code 2.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// sentence is an error on one line. The code of an answer is for programs; a person reads the reason.
func sentence(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if answer, ok := errors.AsType[*chat.Error](err); ok {
		text = strings.Replace(text, string(answer.Code)+": ", "", 1)
	}
	return text
}

// report prints an error of the command that was called, if there is one, and turns it into an exit code.
func report(term terminal, parsed *kong.Context, err error) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(term.err, "multichat: %s\n", withOrigins(sentence(err), parsed))
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*chat.Error](err); ok {
		switch e.Code {
		case chat.CodeAuth:
			return exitAuth
		case chat.CodeUnavail:
			return exitUnreachable
		case chat.CodeUnknown:
			return exitUnknown
		}
	}
	return exitFailure
}
