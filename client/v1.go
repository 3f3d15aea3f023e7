package client

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// V1Config is what a version 1 client is made of.
type V1Config struct {
	Proxies  []Address // at least one, none with TLS; the first is used for as long as it can be reached
	User     chat.UserID
	Password chat.Secret

	LocalAddr    netip.Addr    // what to dial from and to listen on; zero: what the system takes for the route to the proxy
	PollInterval time.Duration // 0: a second
	Log          *slog.Logger  // proxies lost, connections that made no sense; nil: nothing is logged

	// Notify is told of each proxy that is left, as Failed, and of each that takes polls, as Connected, by whichever
	// goroutine finds out. It must not block. nil: nobody is told.
	Notify func(Event)
}

// V1 sends and receives for one user as the first clients do. It may be used by many goroutines, though one Receive at a
// time is enough: a second is another device and gets everything again.
//
// [V1.Send] makes one TCP connection for one message and waits for the answer. [V1.Receive] polls over UDP once a second
// and listens on a TCP port of its own, where the system brings each message on a connection of its own. Both share the
// knowledge which proxy is in use.
type V1 struct {
	cfg   V1Config
	inUse atomic.Int32 // index of the proxy in use
}

// NewV1 checks cfg and makes a client. It does not touch the network.
func NewV1(cfg V1Config) (*V1, error) {
	if err := checkUser(cfg.Proxies, cfg.User, cfg.Password); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(cfg.Proxies, func(a Address) bool { return a.TLS }); i >= 0 {
		return nil, fmt.Errorf("proxy address %q: version 1 has no TLS; name the proxy as HOST[:UDP/TCP], or use version 2",
			cfg.Proxies[i])
	}
	if cfg.PollInterval < 0 {
		return nil, fmt.Errorf("the poll interval %v is negative", cfg.PollInterval)
	}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = time.Second
	}
	cfg.Log = orDiscard(cfg.Log)
	cfg.Proxies = slices.Clone(cfg.Proxies)
	return &V1{cfg: cfg}, nil
}

// leave makes the proxy after i the one in use, because of why, unless i has been left already.
func (c *V1) leave(i int, why error) {
	c.move(i, (i+1)%len(c.cfg.Proxies), why)
}

func (c *V1) move(from, to int, why error) {
	if c.inUse.CompareAndSwap(int32(from), int32(to)) {
		c.tell(Event{Kind: Failed, Proxy: c.cfg.Proxies[from], Err: why})
	}
}

func (c *V1) tell(e Event) {
	if c.cfg.Notify != nil {
		c.cfg.Notify(e)
	}
}

func (c *V1) udpDialer() *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if c.cfg.LocalAddr.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.cfg.LocalAddr, 0))
	}
	return d
}
