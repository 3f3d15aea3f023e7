package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/screen"
)

type recvCmd struct {
	clientFlags
	deviceFlag
	JSON    bool          `help:"Print one JSON object a line: mailbox, seq, id, from, name, time, text (text_b64 if it is not UTF-8)."`
	N       int           `short:"n" placeholder:"N" help:"End with 0 after N messages."`
	Timeout time.Duration `placeholder:"D" help:"End after this time, like 10s: with 0, or with 4 if -n was given and is not reached."`
}

// Help is printed below the flags' summary.
func (recvCmd) Help() string {
	return `A message counts as delivered once it is printed; what was not printed comes again to the next reader of this device.
With --v1, proxies bring messages on connections to this machine, so it must be reachable from them, and a wrong password
looks like an empty mailbox.`
}

func (c *recvCmd) Run(ctx context.Context, term terminal) error {
	if c.N < 0 || c.Timeout < 0 {
		return usagef("-n and --timeout cannot be negative")
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	printLine := printText
	if c.JSON {
		printLine = printJSON
	}
	got := 0
	receiver, err := c.session(term, c.deviceFlag, func(m chat.Message) error {
		if err := printLine(term.out, m); err != nil { // each line is one write, so it is flushed when this returns
			return fmt.Errorf("print a message: %w", err)
		}
		if got++; got == c.N {
			return client.ErrStop
		}
		return nil
	}, c.news(term.say).tell)
	if err != nil {
		return err
	}
	err = receiver.Serve(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && c.N > 0:
		return &exitError{exitUnreachable, fmt.Errorf("%d of %d messages came within %v", got, c.N, c.Timeout)}
	case errors.Is(err, context.Canceled) && c.N > 0:
		return fmt.Errorf("ended by a signal when %d of %d messages had come", got, c.N)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return nil
	}
	return clientError(err)
}

// printText prints a message for a person: who, and the text with further lines indented.
func printText(w io.Writer, m chat.Message) error {
	text := strings.ReplaceAll(screen.Text(m.Text), "\n", "\n    ")
	_, err := fmt.Fprintf(w, "%s %s: %s\n", m.Sent.Local().Format(time.TimeOnly), screen.Name(m.FromName), text)
	return err
}

// line is a message as recv --json prints it. Version 1 tells neither mailbox nor seq nor id: they are null.
type line struct {
	Mailbox *chat.Mailbox   `json:"mailbox"`
	Seq     *chat.Seq       `json:"seq"`
	ID      *chat.MessageID `json:"id"`
	From    chat.UserID     `json:"from"`
	Name    string          `json:"name"`
	Time    string          `json:"time"`
	Text    *string         `json:"text,omitempty"`
	Base64  []byte          `json:"text_b64,omitempty"`
}

func printJSON(w io.Writer, m chat.Message) error {
	l := line{From: m.From, Name: m.FromName, Time: m.Sent.UTC().Format(time.RFC3339)}
	if m.To != "" {
		l.Mailbox, l.Seq, l.ID = &m.To, &m.Seq, &m.ID
	}
	if utf8.Valid(m.Text) {
		text := string(m.Text)
		l.Text = &text
	} else {
		l.Base64 = m.Text
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(l)
}
