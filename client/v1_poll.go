package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"multichat/internal/wire"
)

// refusalsToLeave is after how many refused polls in a row a proxy counts as dead. One or two may be its restart.
const refusalsToLeave = 3

// attendAll attends one proxy after another. It returns when ctx ends, when no proxy was ever reached, and when there is
// no port to listen on.
func (r *receiver) attendAll(ctx context.Context) error {
	ever := false
	for failures := 0; ; {
		i := int(r.inUse.Load())
		err := r.attend(ctx, i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.reached {
			ever, failures = true, 0
		}
		if err == nil {
			continue
		}
		gone, ok := errors.AsType[silent](err)
		if !ok {
			return err
		}
		r.leave(i, gone.error)
		if failures++; failures < len(r.cfg.Proxies) {
			r.cfg.Log.Warn("taking the next proxy", "error", err)
			continue
		}
		if !ever {
			return fmt.Errorf("%w: %w", ErrUnreachable, gone.error)
		}
		r.cfg.Log.Warn("no proxy is left to take; trying all of them again", "error", err)
		failures = 0
		select {
		case <-ctx.Done():
		case <-time.After(r.cfg.PollInterval):
		}
	}
}

// silent is why a proxy seems dead.
type silent struct{ error }

// attend polls one proxy and accepts what it brings. It returns nil once another proxy is in use, and a silent when this
// one seems dead.
func (r *receiver) attend(ctx context.Context, i int) error {
	r.reached = false
	conn, err := r.udpDialer().DialContext(ctx, "udp", r.cfg.Proxies[i].udp())
	if err != nil {
		return silent{err}
	}
	defer conn.Close()
	l, err := listen(conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), r.port)
	if err != nil {
		return err
	}
	r.port = l.Addr().(*net.TCPAddr).AddrPort().Port()

	accepting := make(chan error, 1)
	r.running.Go(func() { accepting <- r.accept(ctx, l) })
	err = r.poll(ctx, i, conn, accepting)
	l.Close()
	return err
}

// poll polls for as long as the proxy is in use and seems alive, and accepting goes on.
func (r *receiver) poll(ctx context.Context, i int, conn net.Conn, accepting <-chan error) error {
	datagram := wire.AppendPoll(nil, wire.Poll{User: []byte(r.cfg.User), Password: r.cfg.Password, Port: r.port})
	ticker := time.NewTicker(r.cfg.PollInterval)
	defer ticker.Stop()
	for polls, refusals := 1, 0; int(r.inUse.Load()) == i; polls++ {
		err := writePoll(conn, datagram)
		if err == nil {
			refusals = 0
			if polls > 1 && !r.reached {
				r.reached = true
				r.tell(Event{Kind: Connected, Proxy: r.cfg.Proxies[i]})
			}
		} else if refusals++; refusals == refusalsToLeave {
			return silent{err}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-accepting:
			return err
		case <-ticker.C:
		}
	}
	return nil
}

// writePoll sends a poll. That a host refused a datagram is told when the next is written, which then is not sent: the
// error means the poll before, and this one is written again.
func writePoll(conn net.Conn, datagram []byte) error {
	_, err := conn.Write(datagram)
	if err != nil {
		conn.Write(datagram)
	}
	return err
}
