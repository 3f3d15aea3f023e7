package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/metrics"
	"multichat/internal/wire"
)

// pollListener reads datagrams and hands polls on. One goroutine reads; where that finds more than it takes at once, others help.
type pollListener struct {
	conn    *net.UDPConn
	handler Handler
	back    Pusher
	rates   *addrPolls
	metrics *metrics.Metrics
	log     *slog.Logger
}

func (l *pollListener) serve(ctx context.Context) error {
	socket, err := takeSocket(l.conn)
	if err != nil {
		return err
	}
	defer socket.close()
	stop := context.AfterFunc(ctx, socket.interrupt)
	defer stop()
	more := make(chan struct{})
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer close(more)
	for range runtime.GOMAXPROCS(0) - 1 {
		helpers.Go(func() { l.helpReading(ctx, newDatagrams(socket), more) })
	}
	return l.readPolls(ctx, newDatagrams(socket), more)
}

// readPolls hands polls on until ctx ends. A datagram that is none is dropped and counted, since there is nobody to tell: its
// source address proves nothing. One that is too long for its room is seen to be, by its last byte.
func (l *pollListener) readPolls(ctx context.Context, arrived *datagrams, more chan<- struct{}) error {
	for {
		n, err := arrived.read()
		if err != nil && ctx.Err() == nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("receive polls: %w", err)
			}
			// An ICMP error of another's datagram surfaces here; it says nothing about this socket.
			l.metrics.Drops.WithLabelValues("poll_receive").Inc()
		}
		if n == datagramsAtOnce {
			select {
			case more <- struct{}{}:
			default: // whoever may help does already
			}
		}
		for i := range n {
			l.handlePoll(arrived.at(i))
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case n < gatherBelow:
			time.Sleep(gatherTime)
		}
	}
}

// helpReading takes polls beside readPolls whenever there are more, until there are not. It never waits for one, so that under little
// load one goroutine alone is woken. An error is for readPolls to see, too.
func (l *pollListener) helpReading(ctx context.Context, arrived *datagrams, more <-chan struct{}) {
	for range more {
		for n := datagramsAtOnce; n == datagramsAtOnce && ctx.Err() == nil; {
			n, _ = arrived.tryRead()
			for i := range n {
				l.handlePoll(arrived.at(i))
			}
		}
	}
}

// A reader that has found fewer than gatherBelow datagrams leaves the socket alone for gatherTime. Being woken for each of a few polls
// costs more than taking them does, and a client that polls once a second does not notice. The socket's buffer holds what
// comes meanwhile: by the least that kernels give, some hundred polls.
const (
	gatherTime  = time.Millisecond
	gatherBelow = min(32, datagramsAtOnce)
)

// handlePoll does not allocate when the datagram is a poll, or one too many.
func (l *pollListener) handlePoll(datagram []byte, client netip.Addr) {
	if !l.rates.take(client) {
		l.metrics.Drops.WithLabelValues("addr_polls").Inc()
		return
	}
	poll, err := wire.DecodePoll(datagram)
	if err != nil {
		l.metrics.Drops.WithLabelValues(dropReason(err)).Inc()
		l.log.Debug("dropped a datagram that is no poll", "from", client, "bytes", len(datagram), "error", err)
		return
	}
	l.handler.Poll(Caller{Addr: client}, poll, l.back)
}

func dropReason(err error) string {
	switch {
	case errors.Is(err, wire.ErrStreamPoll):
		return "poll_v2"
	case chat.AsError(err).Code == chat.CodeTooLarge:
		return "poll_toolarge"
	}
	return "poll_malformed"
}
