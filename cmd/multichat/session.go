package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"

	"multichat/client"
	"multichat/internal/chat"
)

// proxyFlags are what all clients have in common: where the proxies are.
type proxyFlags struct {
	Proxy []client.Address `required:"" placeholder:"HOST[:UDP/TCP]" help:"A proxy, or a server that serves clients; ports 9001/9002 unless given; tls://HOST[:PORT] with TLS, port 9003 unless given. May be repeated: when one is dead the next is used."`
	TLSCA string           `name:"tls-ca" type:"path" placeholder:"FILE" help:"PEM file of the authorities that may vouch for a tls:// proxy, instead of the system's."`
}

// clientFlags are what client, send and recv have in common.
type clientFlags struct {
	proxyFlags
	User string `required:"" help:"The userid."`
	V1   bool   `name:"v1" help:"Speak version 1 of the protocol, as the first clients do."`
	passwordFlags
}

// deviceFlag names where a user reads.
type deviceFlag struct {
	Device string `placeholder:"NAME" help:"This device's name: each device gets every message, and a second reader under one name takes over from the first. Default: a random name of this installation, kept in the user's configuration folder."`
}

// session is a user's line to the system, in either version of the protocol. Send needs a Serve, and may be called by
// many goroutines.
type session interface {
	Serve(ctx context.Context) error
	Send(ctx context.Context, to chat.Mailbox, text []byte) (client.Result, error)
}

// session makes a session that gives messages to take, and tells how it fares; with a nil take it only sends.
func (f clientFlags) session(term terminal, device deviceFlag, take func(chat.Message) error, tell func(client.Event)) (session, error) {
	password, err := f.password(term, f.User, false)
	if err != nil {
		return nil, err
	}
	if f.V1 {
		return f.v1Session(password, take, tell)
	}
	config := client.StreamConfig{Proxies: f.Proxy, User: chat.UserID(f.User), Password: password, Take: take,
		Notify: tell}
	if config.TLS, err = f.tls(); err != nil {
		return nil, err
	}
	if take != nil {
		if config.Device, err = device.name(); err != nil {
			return nil, err
		}
	}
	stream, err := client.NewStream(config)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return stream, nil
}

func (f proxyFlags) tls() (*tls.Config, error) {
	if f.TLSCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(f.TLSCA)
	if err != nil {
		return nil, usagef("--tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usagef("--tls-ca %s: there is no certificate in PEM form in it", f.TLSCA)
	}
	return &tls.Config{RootCAs: roots}, nil
}

func (f deviceFlag) name() (chat.DeviceID, error) {
	if f.Device != "" {
		return chat.DeviceID(f.Device), nil
	}
	name, err := client.LoadDevice("")
	if err != nil {
		return "", usagef("%w; or name this device with --device", err)
	}
	return name, nil
}

// v1Session is a session of version 1.
type v1Session struct {
	*client.V1
	take func(chat.Message) error // nil: it only sends
}

func (f clientFlags) v1Session(password chat.Secret, take func(chat.Message) error, tell func(client.Event)) (session, error) {
	v1, err := client.NewV1(client.V1Config{Proxies: f.Proxy, User: chat.UserID(f.User), Password: password, Notify: tell})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return v1Session{v1, take}, nil
}

func (s v1Session) Serve(ctx context.Context) error {
	if s.take != nil {
		return s.Receive(ctx, s.take)
	}
	<-ctx.Done()
	return ctx.Err()
}

// news tells a person that a proxy cannot be used, that a connection was lost, and that there is one again. When no proxy
// answers at first, the command's own error says so.
type news struct {
	say     func(text string)
	another bool // there is more than one proxy

	mu        sync.Mutex
	connected bool // at least once
	lost      bool // and not made again
}

func (f clientFlags) news(say func(string)) *news { return &news{say: say, another: len(f.Proxy) > 1} }

func (n *news) tell(e client.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case e.Kind == client.Retried:
	case e.Kind == client.Connected && n.lost:
		n.say(fmt.Sprintf("multichat: connected again, to %s", e.Proxy))
		n.lost = false
	case e.Kind == client.Connected:
		n.connected = true
	case n.connected && !n.lost:
		n.say(fmt.Sprintf("multichat: the connection to %s is lost; trying on: %s", e.Proxy, sentence(e.Err)))
		n.lost = true
	case !n.connected && n.another:
		n.say(fmt.Sprintf("multichat: %s cannot be used; trying the next: %s", e.Proxy, sentence(e.Err)))
	}
}

// clientError gives the client library's errors their exit codes; an answer of the system has one already.
func clientError(err error) error {
	if _, answered := errors.AsType[*chat.Error](err); answered {
		return err
	}
	switch {
	case errors.Is(err, client.ErrUnreachable):
		return &exitError{exitUnreachable, fmt.Errorf("%w; see whether a proxy runs there, and --proxy names it as HOST:UDPPORT/TCPPORT", err)}
	case errors.Is(err, client.ErrNotSent):
		return &exitError{exitUnreachable, err}
	}
	return err
}
