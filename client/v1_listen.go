package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const (
	maxPortTries = 64
	maxConns     = 16                            // connections open at once; more wait unaccepted, in the kernel's queue
	maxNewmsg    = wire.MaxHeader + chat.MaxText // bytes read from one connection
	readTimeout  = 5 * time.Second               // how long one may take to its end of file
)

// listen opens a port that the system dials without doubt: one whose number with its bytes swapped, the other reading
// of a listen_port, is never dialled. It tries preferred first if that is not 0, and then random ones.
func listen(addr netip.Addr, preferred uint16) (*net.TCPListener, error) {
	var err error
	for try := range maxPortTries {
		port := preferred
		if try > 0 || preferred == 0 {
			port = randomPort()
		}
		var l *net.TCPListener
		if l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr.Unmap(), port))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no free port to listen on among %d tried: %w", maxPortTries, err)
}

// randomPort is one of the 1008 ports from 1024 up whose swapped bytes make a number below 1024.
func randomPort() uint16 {
	high, low := 4+rand.N[uint16](252), rand.N[uint16](4)
	return high<<8 | low
}

// accept takes connections until l is closed, which is the end of this proxy, or ctx ends. The connections outlive it.
func (r *receiver) accept(ctx context.Context, l *net.TCPListener) error {
	for {
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		conn, err := l.AcceptTCP()
		if err != nil {
			<-r.slots
			return fmt.Errorf("accepting a message: %w", err)
		}
		r.running.Go(func() {
			defer func() { <-r.slots }()
			r.handle(ctx, conn)
		})
	}
}

// handle takes one message from one connection. An orderly close is its receipt, so that has to wait until the message
// is taken; whatever goes wrong ends in a reset, which is none. An empty connection is a probe that wants the orderly
// close alone.
func (r *receiver) handle(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	m, err := readNewmsg(ctx, conn)
	if errors.Is(err, wire.ErrEmpty) {
		return
	}
	if err != nil {
		conn.SetLinger(0)
		r.cfg.Log.Warn("a connection brought no message", "from", conn.RemoteAddr(), "error", err)
		return
	}
	a := arrival{message: m, taken: make(chan bool, 1)}
	select {
	case r.arrivals <- a:
		if !<-a.taken {
			conn.SetLinger(0)
		}
	case <-ctx.Done():
		conn.SetLinger(0)
	}
}

// readNewmsg reads to the end of file. Its error is wire.ErrEmpty if there was nothing before that.
func readNewmsg(ctx context.Context, conn *net.TCPConn) (chat.Message, error) {
	conn.SetReadDeadline(time.Now().Add(readTimeout))
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := io.ReadAll(io.LimitReader(conn, maxNewmsg+1))
	switch {
	case err != nil:
		return chat.Message{}, err
	case len(b) == 0:
		return chat.Message{}, wire.ErrEmpty
	case len(b) > maxNewmsg:
		return chat.Message{}, chat.Errorf(chat.CodeTooLarge, "the message has more than %d bytes", maxNewmsg)
	}
	return wire.DecodeNewmsg(b)
}
