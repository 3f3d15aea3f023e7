package edge

import (
	"log/slog"
	"time"

	"multichat/internal/chat"
	"multichat/internal/metrics"
)

// Config says where an edge listens and what it bears. The zero value of a bound means its default; a negative one of a
// client address means none.
type Config struct {
	UDP string // address of the poll listener, HOST:PORT; the protocol's port is 9001
	TCP string // address of the request and stream listener; the protocol's port is 9002

	// TLS is the address of a second listener, which takes over TLS 1.2 or 1.3 all that TCP's takes. Empty: there is none.
	// TLSCert and TLSKey are PEM files: the certificate with its chain, and its key. When they change they are read again.
	TLS     string
	TLSCert string
	TLSKey  string

	Handler Handler
	Metrics *metrics.Metrics
	Log     *slog.Logger

	MaxText      int           // bytes of one text; default chat.DefaultMaxText
	MaxConns     int           // connections served at once, streams too; default 16384
	MaxAddrConns int           // of them, those from one client address; default 4096
	MaxAddrPolls int           // polls taken from one client address in a second; default 2000
	MaxPushes    int           // pushes to clients at once, of one or two connections each; default 1024
	Grace        time.Duration // how long requests and streams may go on after Serve was told to end; default 5 s
}

func (c Config) withDefaults() Config {
	for _, bound := range []struct {
		value    *int
		standard int
	}{
		{&c.MaxText, chat.DefaultMaxText},
		{&c.MaxConns, 16384},
		{&c.MaxAddrConns, 4096},
		{&c.MaxAddrPolls, 2000},
		{&c.MaxPushes, 1024},
	} {
		if *bound.value == 0 {
			*bound.value = bound.standard
		}
	}
	if c.Grace == 0 {
		c.Grace = 5 * time.Second
	}
	return c
}
