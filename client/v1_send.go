package client

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// replyTimeout bounds how long an answer is waited for: longer than the system by default holds a message whose shard
// does not answer.
const replyTimeout = chat.SendHold + 5*time.Second

// Send gives the system a message for a user, or for [chat.Everyone], and returns when it is stored durably. Proxies are
// tried one after another until one takes a connection; what was handed to that one is not sent to another, since it
// might be stored twice. A missing, broken or late answer (after ctx's end or 15 s) is a [*chat.Error] with code unknown:
// without an id of the sender's own, to send again may send twice.
func (c *V1) Send(ctx context.Context, to chat.Mailbox, text []byte) (Result, error) {
	if err := chat.CheckMailbox(to); err != nil {
		return Result{}, err
	}
	if err := chat.CheckText(text, chat.MaxText); err != nil {
		return Result{}, err
	}
	request := wire.AppendWrmsg(nil, wire.Wrmsg{User: c.cfg.User, Password: c.cfg.Password, To: to, Text: text})
	conn, err := c.connect(ctx)
	if err != nil {
		return Result{}, err
	}
	return exchange(ctx, conn, request)
}

// connect dials the proxy in use, and the others after it, and makes the first that answers the one in use.
func (c *V1) connect(ctx context.Context) (*net.TCPConn, error) {
	var failures []string
	var why error // the proxy in use is left
	first := int(c.inUse.Load())
	for n := range c.cfg.Proxies {
		i := (first + n) % len(c.cfg.Proxies)
		conn, err := tcpDialer(c.cfg.LocalAddr).DialContext(ctx, "tcp", c.cfg.Proxies[i].tcp())
		if err == nil {
			if n > 0 {
				c.move(first, i, why)
			}
			return conn.(*net.TCPConn), nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: connecting to %s: %w", ErrUnreachable, c.cfg.Proxies[i].tcp(), context.Cause(ctx))
		}
		if n == 0 {
			why = err
		}
		failures = append(failures, err.Error())
	}
	return nil, fmt.Errorf("%w: %s", ErrUnreachable, strings.Join(failures, "; "))
}

// exchange sends one request and reads the one reply line. It closes conn.
func exchange(ctx context.Context, conn *net.TCPConn, request []byte) (Result, error) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(replyTimeout))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	_, sendErr := conn.Write(request)
	if sendErr == nil {
		sendErr = conn.CloseWrite()
	}
	if sendErr != nil {
		// An orderly close would make a whole message of what was written so far. A reset takes it back.
		conn.SetLinger(0)
	}
	// A refusal may have come while the text was still on its way, so what is there is read in any case.
	line, err := bufio.NewReaderSize(conn, wire.MaxHeader).ReadSlice('\n')
	switch {
	case ctx.Err() != nil && err != nil:
		err = context.Cause(ctx)
	case sendErr != nil && err != nil:
		err = sendErr
	}
	if err != nil {
		return Result{}, chat.Errorf(chat.CodeUnknown, "the message may have been stored: waiting for the answer of %s: %w",
			conn.RemoteAddr(), err)
	}
	reply, err := wire.DecodeReply(line)
	if err != nil {
		return Result{}, chat.Errorf(chat.CodeUnknown, "the message may have been stored: %s answered with something else than "+
			"multichat does; is the address right? (%w)", conn.RemoteAddr(), err)
	}
	if reply.Err != nil {
		return Result{}, reply.Err
	}
	return Result{ID: reply.ID, Seq: reply.Seq}, nil
}
