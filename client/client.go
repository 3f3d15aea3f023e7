package client

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"multichat/internal/chat"
)

// ErrUnreachable says that no proxy could be reached.
var ErrUnreachable = errors.New("no proxy can be reached")

// ErrStop is returned by whoever takes messages to end that without an error, the message taken.
var ErrStop = errors.New("stop receiving")

// Result says where a message was stored.
type Result struct {
	ID  chat.MessageID // the message's id; in version 1 the system made it
	Seq chat.Seq       // its place in the mailbox
}

// dialTimeout bounds how long one proxy is waited for before the next is tried.
const dialTimeout = 2 * time.Second

// checkUser says what is wrong with what every client is made of.
func checkUser(proxies []Address, user chat.UserID, password chat.Secret) error {
	if len(proxies) == 0 {
		return errors.New("no proxy is given; name at least one as HOST[:UDP/TCP] or tls://HOST[:PORT]")
	}
	if err := chat.CheckUserID(user); err != nil {
		return err
	}
	return chat.CheckPassword(password)
}

func tcpDialer(local netip.Addr) *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	return d
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
