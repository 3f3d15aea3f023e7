package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// Login opens a stream at the server, as an [edge.Handler] does. What the server refused comes as the [*chat.Error] it
// answered with; so does busy, when there are too many streams or too much waits here, and unavail from a server of a
// release before streams. Other errors are those of [Conn.Send]. The tickets that from names are passed over:
// [DialConfig.Tickets] keeps those of a link.
//
// client's methods are called by the goroutines of [Conn.Serve], one after another, and never from within a method of
// the stream, so they may call those. When the link ends, client gets an End that wraps [ErrBroken], unless the stream
// has ended or was closed before. A login that fails is not followed by an End.
func (c *Conn) Login(
	ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient,
) (edge.Stream, error) {
	if c.s.version < streamsVersion {
		return nil, chat.Errorf(chat.CodeUnavail,
			"the server %s is of an older release, which does not serve streams; try again later", c.s.peer)
	}
	st, err := c.openStream(from, l, client)
	if err != nil {
		return nil, err
	}
	select {
	case w := <-st.welcome:
		return st.enter(w)
	case <-c.s.done:
		if w, answered := c.streams.abandon(st); answered {
			return st.enter(w)
		}
		return nil, c.s.broken(ErrBroken)
	case <-ctx.Done():
		st.Close()
		return nil, fmt.Errorf("waiting for the answer of %s: %w", c.s.peer, context.Cause(ctx))
	}
}

// openStream sends a login. The stream is registered before, so that it is known when the answer comes.
func (c *Conn) openStream(from edge.Caller, l edge.Login, client edge.StreamClient) (*proxyStream, error) {
	st := &proxyStream{c: c, client: client, welcome: make(chan welcome, 1)}
	err := c.streams.add(st)
	if err == nil {
		err = c.s.out.add(kindLogin, st.id, func(b []byte) []byte { return appendLogin(b, from, l) })
	}
	switch err {
	case nil:
		return st, nil
	case errClosed:
		err = c.s.broken(ErrNotSent)
	case errFull:
		c.counters.StreamsBusy.Add(1)
		err = chat.Errorf(chat.CodeBusy, "too much is waiting for %s; try again later", c.s.peer)
	default:
		err = chat.Errorf(chat.CodeTooLarge, "the login does not fit into a frame of a link: %w", err)
	}
	c.streams.remove(st)
	return nil, err
}

// enter is the outcome of a login that was answered.
func (st *proxyStream) enter(w welcome) (edge.Stream, error) {
	switch {
	case w.notTaken:
		return nil, fmt.Errorf("%w: %s is shutting down", ErrNotSent, st.c.s.peer)
	case w.refusal != nil:
		return nil, w.refusal
	}
	return st, nil
}

// handleStream takes what the server says to streams. One that was closed here meanwhile is not known anymore; what is
// said to it is passed over.
func (c *Conn) handleStream(f frame) error {
	switch f.kind {
	case kindWelcome:
		return c.takeWelcome(f)
	case kindAnswer:
		return c.takeAnswer(f)
	case kindDeliver:
		return c.takeDeliver(f)
	case kindEnd:
		return c.takeEnd(f)
	case kindTicket:
		return c.takeTicket(f)
	}
	return unexpected(f)
}

func (c *Conn) takeWelcome(f frame) error {
	w, err := decodeWelcome(f.body)
	if err == nil {
		err = c.streams.answer(f.id, w)
	}
	if err != nil {
		return fmt.Errorf("the answer to a login: %w", err)
	}
	return nil
}

func (c *Conn) takeAnswer(f frame) error {
	a, err := decodeAnswer(f.body)
	if err != nil {
		return fmt.Errorf("an answer: %w", err)
	}
	if st, _ := c.streams.find(f.id); st != nil {
		st.answer(a)
	}
	return nil
}

func (c *Conn) takeDeliver(f frame) error {
	messages, err := decodeDeliver(bytes.Clone(f.body))
	if err != nil {
		return fmt.Errorf("a delivery: %w", err)
	}
	if st, _ := c.streams.find(f.id); st != nil {
		st.deliver(delivery{messages, len(f.body)})
	}
	return nil
}

func (c *Conn) takeEnd(f frame) error {
	why, err := decodeEnd(f.body)
	if err != nil {
		return fmt.Errorf("the end of a stream: %w", err)
	}
	st, entered := c.streams.find(f.id)
	switch {
	case st == nil:
	case !entered:
		return errors.New("the end of a stream whose login is not answered")
	case why == nil:
		st.end(nil)
	default:
		st.end(why)
	}
	return nil
}

func (c *Conn) takeTicket(f frame) error {
	holder, ticket, err := decodeTicket(f.body)
	if err != nil {
		return fmt.Errorf("a ticket: %w", err)
	}
	if c.tickets != nil {
		c.tickets.KeepTicket(holder, ticket)
	}
	return nil
}

// endStreams tells the clients of all streams that the link has ended. It runs once nothing is read anymore.
func (c *Conn) endStreams() {
	why := c.s.broken(ErrBroken)
	for _, st := range c.streams.endAll() {
		st.end(why)
	}
}
