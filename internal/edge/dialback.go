package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"multichat/internal/crew"
	"multichat/internal/wire"
)

// ClientTimeout bounds each connection to a client, from the dial to the receipt.
const ClientTimeout = 2 * time.Second

// DialBack connects to version 1 clients, to find out which port they meant and to give them messages.
//
// Dialling whoever asks for it is dangerous: it makes a node knock at doors in its own name. So only the source
// address of an authenticated poll is dialled (the business logic sees to that), only ports from 1024 up, one
// connection to a device at a time but for the two readings of its port, each for 2 s at most, a bounded number in
// all. A peer that writes as much as a byte is not a client, and is given nothing more.
type DialBack struct {
	dialer net.Dialer
	pushes *crew.Crew
	log    *slog.Logger
}

// newDialBack dials from the address where polls are received, when that is a single one: clients' firewalls expect it.
func newDialBack(local netip.Addr, maxPushes int, log *slog.Logger) *DialBack {
	d := &DialBack{pushes: crew.New(maxPushes), log: log}
	if local = local.Unmap(); !local.IsUnspecified() {
		d.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
		d.dialer.Control = bindLate
	}
	d.dialer.KeepAlive = -1 // the connections live for 2 s
	return d
}

// Push gives p's messages to its client. It never returns an error: what went wrong is in the receipt.
func (d *DialBack) Push(ctx context.Context, p Push) (receipt Receipt, err error) {
	if !dialable(p) {
		return Receipt{Outcome: PushRefused}, nil
	}
	if d.pushes.Do(func() { receipt = d.push(ctx, p) }) != nil {
		receipt.Outcome = PushBusy // too many, or this node is about to end
	}
	return receipt, nil
}

// Drain begins no more pushes, and waits for those under way, which end with the message that is on its way. So their
// receipts can still be told. ctx bounds the wait.
func (d *DialBack) Drain(ctx context.Context) {
	select {
	case <-d.pushes.Close():
	case <-ctx.Done():
	}
}

func (d *DialBack) push(ctx context.Context, p Push) Receipt {
	port := p.Ports[0]
	if !p.Settled {
		var outcome Outcome
		if port, outcome = d.settle(ctx, p.Client, p.Ports); outcome != PushTaken {
			return Receipt{Outcome: outcome}
		}
	}
	return d.deliver(ctx, netip.AddrPortFrom(p.Client, port), p)
}

// dialable refuses, once more and beside the business logic, what must never be dialled.
func dialable(p Push) bool {
	client := p.Client.Unmap() // ::ffff:0.0.0.0 is this host, too
	if !client.IsValid() || client.IsUnspecified() || client.IsMulticast() {
		return false
	}
	for _, port := range p.Ports {
		if port < wire.MinListenPort {
			return false
		}
	}
	return len(p.Ports) > 0 && len(p.Ports) <= 2
}

// settle finds the one reading of a port where a client answers. The outcome is PushTaken if there is exactly one.
func (d *DialBack) settle(ctx context.Context, client netip.Addr, ports []uint16) (uint16, Outcome) {
	answers := make([]bool, len(ports))
	var group sync.WaitGroup
	for i, port := range ports {
		group.Go(func() {
			at := netip.AddrPortFrom(client, port)
			err := d.exchange(ctx, at, nil)
			if answers[i] = err == nil; !answers[i] {
				d.log.Debug("no client answers at this reading of its port", "at", at, "error", err)
			}
		})
	}
	group.Wait()
	found := uint16(0)
	for i, answered := range answers {
		switch {
		case answered && found != 0:
			return 0, PushAmbiguous
		case answered:
			found = ports[i]
		}
	}
	if found == 0 {
		return 0, PushRefused
	}
	return found, PushTaken
}

// deliver gives p's messages one after another, each on a connection of its own, until one brings no receipt.
func (d *DialBack) deliver(ctx context.Context, to netip.AddrPort, p Push) Receipt {
	var buf []byte
	for i, m := range p.Messages {
		if i > 0 && (d.pushes.Closed() || p.stopped()) {
			return Receipt{Taken: i, Port: to.Port(), Outcome: PushBusy}
		}
		buf = wire.AppendNewmsg(buf[:0], m, wire.MaxNewmsg)
		if err := d.exchange(ctx, to, buf); err != nil {
			d.log.Debug("a message got no receipt; it stays pending", "at", to, "seq", m.Seq, "error", err)
			return Receipt{Taken: i, Port: to.Port(), Outcome: outcomeOf(err)}
		}
	}
	return Receipt{Taken: len(p.Messages), Port: to.Port(), Outcome: PushTaken}
}

func (p Push) stopped() bool {
	select {
	case <-p.Stop:
		return true
	default:
		return false
	}
}

// outcomeOf is what an exchange that failed says of the client.
func outcomeOf(err error) Outcome {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return PushRefused
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return PushBusy // this host has no port left to dial from
	}
	return PushBroken
}

var errNotAClient = errors.New("the peer writes, so it is no client")

// exchange sends data (none for an empty connection), half-closes, and waits for the peer's orderly close: a client
// reads to the end first, so its close is its receipt.
func (d *DialBack) exchange(ctx context.Context, to netip.AddrPort, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, ClientTimeout)
	defer cancel()
	dialled, err := d.dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	conn := dialled.(*net.TCPConn)
	defer conn.Close()
	// The context's end closes the connection, so that a shutdown need not wait for a silent client.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if len(data) > 0 {
		if _, err := conn.Write(data); err != nil {
			return err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	var b [1]byte
	switch n, err := conn.Read(b[:]); {
	case n > 0:
		return errNotAClient
	case err == io.EOF:
		return checkOrder(conn)
	default:
		return err
	}
}
