package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	return "Chat: messages are printed as they come, and each line that is typed is sent to everyone, but for commands:\n\n" +
		clientHelp + `

On a terminal the line that is typed stays whole below the messages. What was typed and is not stored yet stands between
them, marked "…", or "again" once it had to be sent again. Arrow keys bring lines back, Ctrl-D is /quit, and Ctrl-C ends at
once and says what was not stored. NO_COLOR turns colours off. Elsewhere it is one message a line, as it comes.`
}

func (c *clientCmd) Run(ctx context.Context, term terminal) error {
	in, out, ok := term.screen()
	if ok {
		return c.chatOnScreen(ctx, term, in, out)
	}
	return c.chatInLines(ctx, term)
}

// screen says whether a chat can be shown on a terminal that can more than print lines.
func (t terminal) screen() (in, out *os.File, ok bool) {
	if kind := os.Getenv("TERM"); kind == "" || kind == "dumb" || !isTerminal(t.in) || !isTerminal(t.out) {
		return nil, nil, false
	}
	return t.in.(*os.File), t.out.(*os.File), true
}

// draft is a message as it was typed.
type draft struct {
	to   chat.Mailbox
	text string
}

// maxDrafts is how many drafts wait to be stored. With more, nothing is read from the terminal.
const maxDrafts = 256

// person is whoever chats: what they type, and what they are told.
type person interface {
	readLine(ctx context.Context) (string, error) // after the last one io.EOF; ctx ends it where that is possible
	say(text string)
	waits(d draft)              // it was typed, and is sent when those before it are settled
	settled(d draft, err error) // it was stored, or not and why; each in the order typed
	leaves()                    // no more is read
}

// converse sends what is typed, one message after the other, until /quit, the end of the input or that of ctx. A message
// that is refused is named, and the others go on.
func converse(ctx context.Context, s session, p person) error {
	typed := make(chan draft, maxDrafts)
	ended := make(chan error, 1)
	go func() { // nobody waits for it: a read of a terminal ends with the process at the latest
		defer close(typed)
		ended <- readDrafts(ctx, p, typed)
	}()
	for {
		select {
		case d, more := <-typed:
			if !more {
				return <-ended
			}
			err := sendOne(ctx, s, d.to, []byte(d.text))
			if err != nil && ctx.Err() != nil {
				return err
			}
			p.settled(d, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readDrafts reads lines until /quit or the end of the input, and does what needs no sending itself.
func readDrafts(ctx context.Context, p person, typed chan<- draft) error {
	for {
		line, err := p.readLine(ctx)
		if line == "/quit" {
			p.leaves()
			return nil
		}
		if d, ok := readDraft(p.say, line); ok {
			p.waits(d)
			select {
			case typed <- d:
			case <-ctx.Done():
				return nil
			}
		}
		if err == io.EOF || err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
}

// readDraft makes a message of a line, or says what else is to be said to it.
func readDraft(say func(string), line string) (d draft, ok bool) {
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
		say("multichat: nothing was sent: it is /to USERID TEXT")
	case command == "/help":
		say(clientHelp)
	default:
		say(fmt.Sprintf("multichat: nothing was sent: %q is no command; /help names them, and /all sends what begins with a slash", command))
	}
	return draft{}, false
}

// refusal says that a message was not stored, and why; "" if err is nil.
func (d draft) refusal(err error) string {
	answer, answered := errors.AsType[*chat.Error](err)
	to := string(d.to)
	if d.to == chat.Everyone {
		to = "everyone"
	}
	switch {
	case err == nil:
		return ""
	case answered && answer.Code == chat.CodeUnknown:
		return fmt.Sprintf("multichat: it is not known whether this was sent to %s: %q: %s", to, d.text, sentence(err))
	}
	return fmt.Sprintf("multichat: not sent to %s: %q: %s", to, d.text, sentence(err))
}
