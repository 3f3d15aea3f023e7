package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"multichat/client"
	"multichat/internal/chat"
)

// clientFlags are what send and recv have in common.
type clientFlags struct {
	Proxy []client.Address `required:"" placeholder:"HOST[:UDP/TCP]" help:"A proxy, or a server that serves clients; ports 9001/9002 unless given. May be repeated: when one is dead the next is used."`
	User  string           `required:"" help:"The userid."`
	passwordFlags
}

func (f clientFlags) client(term terminal) (*client.Client, error) {
	password, err := f.password(term, f.User, false)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Proxies: f.Proxy, User: chat.UserID(f.User), Password: password})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return c, nil
}

// clientError gives the client library's errors their exit codes.
func clientError(err error) error {
	if errors.Is(err, client.ErrUnreachable) {
		return &exitError{exitUnreachable, err}
	}
	return err
}

type sendCmd struct {
	clientFlags
	To   string  `required:"" placeholder:"USERID" help:"The recipient's userid, or % for everyone."`
	Text *string `arg:"" optional:"" help:"The text; - or nothing reads standard input, each line a message."`
}

// Help is printed below the flags' summary.
func (sendCmd) Help() string {
	return `It ends with 0 only when every message was stored durably. With "-" it stops at the first that was not, and
says which line that is.`
}

func (c *sendCmd) Run(ctx context.Context, term terminal) error {
	sender, err := c.client(term)
	if err != nil {
		return err
	}
	to := chat.Mailbox(c.To)
	if err := chat.CheckMailbox(to); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--to: %w", err)}
	}
	if c.Text != nil && *c.Text != "-" {
		_, err := sender.Send(ctx, to, []byte(*c.Text))
		return clientError(err)
	}
	return sendLines(ctx, sender, to, term.in)
}

func sendLines(ctx context.Context, sender *client.Client, to chat.Mailbox, in io.Reader) error {
	reader := bufio.NewReaderSize(in, chat.MaxText+2)
	for number := 1; ; number++ {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return usagef("line %d is longer than %d bytes; the lines before it were stored", number, chat.MaxText)
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read standard input: %w", err)
		}
		ended := err == io.EOF
		if line = bytes.TrimSuffix(line, []byte("\n")); ended && len(line) == 0 {
			return nil
		}
		if _, err := sender.Send(ctx, to, line); err != nil {
			return fmt.Errorf("line %d, and nothing after it: %w", number, clientError(err))
		}
		if ended {
			return nil
		}
	}
}
