package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"multichat/internal/chat"
)

type clientCmd struct {
	clientFlags
	deviceFlag
}

const clientHelp = `  /to USERID TEXT   send TEXT to one user
  /all TEXT         send TEXT to everyone, also when it begins with a slash
  /help             print this
  /quit             end, once everything is stored; the end of the input does the same`

// Help is printed below the flags' summary.
func (clientCmd) Help() string {
	return "Chat: messages are printed as they come, and each line that is typed is sent to everyone, but for commands:\n\n" + clientHelp
}

func (c *clientCmd) Run(ctx context.Context, term terminal) error {
	s, err := c.session(term, c.deviceFlag, func(m chat.Message) error { return printText(term.out, m) })
	if err != nil {
		return err
	}
	fmt.Fprintf(term.err, "multichat: you are %s; /help says what can be typed\n", c.User)
	err = serveWhile(ctx, s, func(ctx context.Context) error { return converse(ctx, s, term) })
	if errors.Is(err, context.Canceled) {
		return nil // a signal told it to end
	}
	return err
}

// draft is a message as it was typed.
type draft struct {
	to   chat.Mailbox
	text string
}

// maxDrafts is how many drafts wait to be stored. With more, nothing is read from the terminal.
const maxDrafts = 256

// converse sends what is typed, one message after the other, until /quit, the end of the input or that of ctx. A message
// that is refused is named, and the others go on.
func converse(ctx context.Context, s session, term terminal) error {
	typed := make(chan draft, maxDrafts)
	ended := make(chan error, 1)
	go func() { // nobody waits for it: a read of a terminal ends with the process at the latest
		defer close(typed)
		ended <- readDrafts(ctx, term, typed)
	}()
	for {
		select {
		case d, more := <-typed:
			if !more {
				return <-ended
			}
			if err := sendOne(ctx, s, d.to, []byte(d.text)); ctx.Err() != nil {
				return err
			} else if err != nil {
				fmt.Fprintf(term.err, "multichat: not sent to %s: %q: %s\n", d.to, d.text, sentence(err))
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readDrafts reads lines until /quit or the end of the input, and does what needs no sending itself.
func readDrafts(ctx context.Context, term terminal, typed chan<- draft) error {
	lines := bufio.NewReaderSize(term.in, chat.MaxText)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line == "/quit" {
			return nil
		}
		if d, ok := readDraft(term.err, line); ok {
			select {
			case typed <- d:
			case <-ctx.Done():
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
}

// readDraft makes a message of a line, or says what else is to be said to it.
func readDraft(say io.Writer, line string) (d draft, ok bool) {
	command, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "":
		return draft{}, false
	case !strings.HasPrefix(line, "/"):
		return draft{chat.Everyone, line}, true
	case command == "/all" && rest != "":
		return draft{chat.Everyone, rest}, true
	case command == "/to":
		to, text, found := strings.Cut(rest, " ")
		if err := chat.CheckMailbox(chat.Mailbox(to)); found && err == nil {
			return draft{chat.Mailbox(to), text}, true
		}
		fmt.Fprintln(say, "multichat: nothing was sent: it is /to USERID TEXT")
	case command == "/help":
		fmt.Fprintln(say, clientHelp)
	default:
		fmt.Fprintf(say, "multichat: nothing was sent: %q is no command; /help names them, and /all sends what begins with a slash\n", command)
	}
	return draft{}, false
}
