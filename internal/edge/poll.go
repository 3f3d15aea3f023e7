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

// pollListener reads datagrams and hands polls on. It keeps no state but counts, so any number of goroutines may read.
type pollListener struct {
	conn    *net.UDPConn
	handler Handler
	back    Pusher
	rates   *addrPolls
	metrics *metrics.Metrics
	log     *slog.Logger
}

func (l *pollListener) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.conn.Close() })
	defer stop()
	readers := runtime.GOMAXPROCS(0)
	errs := make([]error, readers)
	var group sync.WaitGroup
	for i := range readers {
		group.Go(func() {
			errs[i] = l.readPolls()
			l.conn.Close() // one reader's failure ends all
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("receive polls: %w", errors.Join(errs...))
}

// readPolls hands polls on until the socket is closed. A datagram that is none is dropped and counted, since there is
// nobody to tell: its source address proves nothing. One that is too long for its room is seen to be, by its last byte.
func (l *pollListener) readPolls() error {
	arrived, err := newDatagrams(l.conn)
	if err != nil {
		return err
	}
	for {
		n, err := arrived.read()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			// An ICMP error of another's datagram surfaces here; it says nothing about this socket.
			l.metrics.Drops.WithLabelValues("poll_receive").Inc()
			continue
		}
		for i := range n {
			l.handlePoll(arrived.at(i))
		}
		if n < datagramsAtOnce {
			time.Sleep(gatherTime)
		}
	}
}

// gatherTime is how long a reader that has taken all there was leaves the socket alone. Under load, being woken for each of a few polls
// costs more than taking them does; and a client that polls once a second does not notice. The socket's buffer holds what
// comes meanwhile.
const gatherTime = time.Millisecond

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
