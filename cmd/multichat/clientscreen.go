package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/screen"
)

// onScreen is a person at a terminal.
type onScreen struct {
	screen *screen.Screen
	news   *news

	mu      sync.Mutex
	waiting []draft // not settled, in the order typed: the first is being sent
	done    int     // how many are settled
	again   string  // why the first had to be sent again; "": it had not
}

// chatOnScreen chats with a person at a terminal. What is said on standard error is said before the screen begins or after
// it has ended, when the terminal is as it was.
func (c *clientCmd) chatOnScreen(ctx context.Context, term terminal, in, out *os.File) error {
	p := &onScreen{screen: screen.New(screen.Config{
		In: in, Out: out, User: chat.UserID(c.User), Colour: os.Getenv("NO_COLOR") == "",
	})}
	p.news = c.news(p.screen.Hint)
	s, err := c.session(term, c.deviceFlag, p.screen.Show, p.tell)
	if err != nil {
		return err
	}
	p.screen.Hint(fmt.Sprintf("multichat: you are %s; /help says what can be typed", c.User))

	chatting, end := context.WithCancelCause(ctx)
	defer end(nil)
	shown := make(chan error, 1)
	go func() {
		err := p.screen.Serve(chatting)
		end(err)
		shown <- err
	}()
	err = serveWhile(chatting, s, func(ctx context.Context) error { return converse(ctx, s, p) })
	interrupted := chatting.Err() != nil
	end(nil)
	if broken := <-shown; broken != nil && !errors.Is(broken, screen.ErrInterrupted) {
		err, interrupted = broken, false
	}
	return p.report(term, err, interrupted)
}

// report says what was not stored when the chat has ended because of err, and makes the command's error of both.
func (p *onScreen) report(term terminal, err error, interrupted bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer, answered := errors.AsType[*chat.Error](err)
	doubt := answered && answer.Code == chat.CodeUnknown // of the first
	for _, line := range p.screen.Unread() {
		if d, ok := readDraft(func(string) {}, line); ok {
			p.waiting = append(p.waiting, d)
		}
	}
	for i, d := range p.waiting {
		why := errEndedBefore
		if i == 0 && doubt {
			why = err
		}
		term.say(d.refusal(why))
	}
	switch {
	case !interrupted:
		return err
	case len(p.waiting) == 0:
		return nil
	case doubt:
		return &exitError{exitUnknown, fmt.Errorf("ended before %d messages were acknowledged", len(p.waiting))}
	}
	return &exitError{exitUnreachable, fmt.Errorf("ended before %d messages were sent", len(p.waiting))}
}

var errEndedBefore = errors.New("the chat ended before")

// tell tells how the connection fares.
func (p *onScreen) tell(e client.Event) {
	p.news.tell(e)
	if e.Kind != client.Retried {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.again = sentence(e.Err)
	p.screen.Retry(p.done, p.again)
}

func (p *onScreen) readLine(ctx context.Context) (string, error) { return p.screen.ReadLine(ctx) }

func (p *onScreen) say(text string) { p.screen.Say(text) }

func (p *onScreen) leaves() { p.screen.Leave() }

func (p *onScreen) waits(d draft) {
	p.mu.Lock()
	p.waiting = append(p.waiting, d)
	p.mu.Unlock()
	p.screen.Wait(d.to, d.text)
}

func (p *onScreen) settled(d draft, err error) {
	p.mu.Lock()
	again := p.again
	p.again = ""
	p.done++
	p.waiting = slices.Delete(p.waiting, 0, 1)
	p.mu.Unlock()
	p.screen.Settle(d.refusal(err), again)
}
