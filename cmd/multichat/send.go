package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"multichat/internal/chat"
)

type sendCmd struct {
	clientFlags
	To   string  `required:"" placeholder:"USERID" help:"The recipient's userid, or % for everyone."`
	Text *string `arg:"" optional:"" help:"The text; - or nothing reads standard input, each line a message."`
}

// sendPatience is how long one message is tried for, through lost connections too.
const sendPatience = 30 * time.Second

// Help is printed below the flags' summary.
func (sendCmd) Help() string {
	return `It ends with 0 only when every message was stored durably. With "-" the lines are stored in their order, each after the
one before; it stops at the first that was not, and says which line that is. A message whose connection is lost is sent
again, for up to 30 seconds, and stored once all the same.`
}

func (c *sendCmd) Run(ctx context.Context, term terminal) error {
	to := chat.Mailbox(c.To)
	if err := chat.CheckMailbox(to); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--to: %w", err)}
	}
	sender, err := c.session(term, deviceFlag{}, nil, c.news(term.say).tell)
	if err != nil {
		return err
	}
	return serveWhile(ctx, sender, func(ctx context.Context) error {
		if c.Text != nil && *c.Text != "-" {
			return sendOne(ctx, sender, to, []byte(*c.Text))
		}
		return sendLines(ctx, sender, to, term.in)
	})
}

// serveWhile serves a session for as long as work takes, and ends work when the session ends by itself: then it says
// better why than what became of the work, unless that is in doubt.
func serveWhile(ctx context.Context, s session, work func(context.Context) error) error {
	serving, endServing := context.WithCancel(ctx)
	defer endServing()
	working, endWork := context.WithCancel(ctx)
	defer endWork()
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(serving)
		endWork()
	}()
	err := work(working)
	endServing()
	why := <-served
	answer, answered := errors.AsType[*chat.Error](err)
	inDoubt := answered && answer.Code == chat.CodeUnknown
	if err != nil && why != nil && !inDoubt && !errors.Is(why, context.Canceled) {
		err = why
	}
	return clientError(err)
}

func sendOne(ctx context.Context, sender session, to chat.Mailbox, text []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sendPatience, fmt.Errorf("no answer came within %v", sendPatience))
	defer cancel()
	_, err := sender.Send(ctx, to, text)
	return err
}

func sendLines(ctx context.Context, sender session, to chat.Mailbox, in io.Reader) error {
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
		if err := sendOne(ctx, sender, to, line); err != nil {
			return fmt.Errorf("line %d, and nothing after it: %w", number, err)
		}
		if ended {
			return nil
		}
	}
}
