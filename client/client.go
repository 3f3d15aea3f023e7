// Package client is the client of multichat as a library. It speaks version 1 of the protocol, whose specification is
// the package comment of multichat/internal/wire.
//
//	c, err := client.New(client.Config{Proxies: proxies, User: "alice", Password: password})
//	...
//	result, err := c.Send(ctx, "bob", []byte("hello"))
//	...
//	err = c.Receive(ctx, func(m chat.Message) error {
//		_, err := fmt.Printf("%s: %s\n", m.FromName, m.Text)
//		return err
//	})
//
// [Client.Send] makes one TCP connection for one message and waits for the answer. [Client.Receive] polls over UDP once a
// second and listens on a TCP port of its own, where the system brings each message on a connection of its own. Both
// may run at once, from any goroutines; they share the knowledge which proxy is in use.
//
// # What an error means
//
//	[ErrUnreachable]                 no proxy could be reached; nothing was sent
//	[*chat.Error], code unknown      the message may be stored; to send it again may send it twice
//	[*chat.Error], any other code    the system, or a check made here, refused; nothing was stored
//	[context.Canceled] and the like  Receive, and a Send that had not begun, were ended by their context
//
// # What version 1 cannot do
//
//   - A poll is never answered. So Receive cannot tell a wrong password from a mailbox without news: Send something to
//     find out. And it notices that a proxy is dead only when the proxy's host says that nobody listens there, which a
//     host that is itself down or cut off does not say. It leaves such a proxy when a Send found that it does not
//     answer, and else waits for it.
//   - The system must be able to dial the client, so Receive does not work through NAT, but for that of the proxy's own
//     host. Whoever can reach the listening port can bring forged messages there.
//   - The password travels in clear.
//   - A message carries neither its id nor its place in the mailbox. One that comes again after a fault cannot be told
//     from one that was sent twice, and is given twice. A message over 4095 bytes arrives cut, with … as its end.
package client

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// ErrUnreachable says that no proxy could be reached.
var ErrUnreachable = errors.New("no proxy can be reached")

// dialTimeout bounds how long one proxy is waited for before the next is tried.
const dialTimeout = 2 * time.Second

// Config is what a client is made of.
type Config struct {
	Proxies  []Address // at least one; the first is used for as long as it can be reached
	User     chat.UserID
	Password chat.Secret

	LocalAddr    netip.Addr    // what to dial from and to listen on; zero: what the system takes for the route to the proxy
	PollInterval time.Duration // 0: a second
	Log          *slog.Logger  // proxies lost, connections that made no sense; nil: nothing is logged
}

// Client sends and receives for one user. It may be used by many goroutines, though one Receive at a time is enough: a
// second is another device and gets everything again.
type Client struct {
	cfg   Config
	inUse atomic.Int32 // index of the proxy in use
}

// New checks cfg and makes a client. It does not touch the network.
func New(cfg Config) (*Client, error) {
	if len(cfg.Proxies) == 0 {
		return nil, errors.New("no proxy is given; name at least one as HOST[:UDP/TCP]")
	}
	if err := chat.CheckUserID(cfg.User); err != nil {
		return nil, err
	}
	if err := chat.CheckPassword(cfg.Password); err != nil {
		return nil, err
	}
	if cfg.PollInterval < 0 {
		return nil, fmt.Errorf("the poll interval %v is negative", cfg.PollInterval)
	}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Proxies = slices.Clone(cfg.Proxies)
	return &Client{cfg: cfg}, nil
}

// leave makes the proxy after i the one in use, unless i has been left already.
func (c *Client) leave(i int) {
	c.inUse.CompareAndSwap(int32(i), int32((i+1)%len(c.cfg.Proxies)))
}

func (c *Client) tcpDialer() *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if c.cfg.LocalAddr.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.cfg.LocalAddr, 0))
	}
	return d
}

func (c *Client) udpDialer() *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if c.cfg.LocalAddr.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.cfg.LocalAddr, 0))
	}
	return d
}
