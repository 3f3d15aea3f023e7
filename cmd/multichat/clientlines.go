package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"multichat/client"
	"multichat/internal/chat"
)

// lines is a person of whom there are only lines: a script, or a terminal that can no more.
type lines struct {
	term terminal
	in   *bufio.Reader
}

// chatInLines chats with what reads and writes lines.
func (c *clientCmd) chatInLines(ctx context.Context, term terminal) error {
	n := c.news(term.say)
	s, err := c.session(term, c.deviceFlag, func(m chat.Message) error { return printText(term.out, m) }, func(e client.Event) {
		n.tell(e)
		if e.Kind == client.Retried {
			term.say("multichat: sent again: " + sentence(e.Err))
		}
	})
	if err != nil {
		return err
	}
	term.say(fmt.Sprintf("multichat: you are %s; /help says what can be typed", c.User))
	err = serveWhile(ctx, s, func(ctx context.Context) error {
		return converse(ctx, s, &lines{term, bufio.NewReaderSize(term.in, chat.MaxText)})
	})
	if errors.Is(err, context.Canceled) {
		return nil // a signal told it to end
	}
	return err
}

func (l *lines) readLine(context.Context) (string, error) {
	line, err := l.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func (l *lines) say(text string) { l.term.say(text) }

func (l *lines) waits(draft) {}

func (l *lines) leaves() {}

func (l *lines) settled(d draft, err error) {
	if err != nil {
		l.term.say(d.refusal(err))
	}
}
