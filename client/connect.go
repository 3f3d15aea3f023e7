package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// final is an error after which no further attempt is made.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// unreachable is ErrUnreachable with its reasons, in one line.
type unreachable struct{ failures []error }

func (u *unreachable) Error() string {
	texts := make([]string, len(u.failures))
	for i, err := range u.failures {
		texts[i] = err.Error()
	}
	return ErrUnreachable.Error() + ": " + strings.Join(texts, "; ")
}

func (u *unreachable) Unwrap() []error { return append([]error{ErrUnreachable}, u.failures...) }

var (
	errBye  = errors.New("the proxy said bye; it is about to end")
	errLeft = errors.New("the stream was left in order")
)

// keepConnected attends one proxy after another. It returns nil when the stream has been left or working ends. While
// the stream is being left it goes on until what was taken is acknowledged, but not once dialling has ended.
func (s *Stream) keepConnected(working, dialling context.Context) error {
	var failures []error // of the first round; nil once a proxy has answered
	reached := false
	for i, tries := 0, 0; ; { // tries since a connection that was good
		proxy := s.cfg.Proxies[i%len(s.cfg.Proxies)]
		l := &line{Stream: s, proxy: proxy, gone: make(chan struct{})}
		err := l.attend(working, dialling)
		if fin, ok := errors.AsType[final](err); ok {
			return fin.error
		}
		if errors.Is(err, errLeft) || dialling.Err() != nil {
			return nil
		}
		s.setTrouble(l, err)
		if !errors.Is(err, errOwnLogin) { // then this proxy serves, and the next may be the one that did not answer
			i++
		}

		if reached = reached || l.answered; !reached {
			if failures = append(failures, err); len(failures) == len(s.cfg.Proxies) {
				return &unreachable{failures}
			}
		}
		good := l.wasGood()
		if good {
			tries = 0
		} else {
			tries++
		}
		if good && errors.Is(err, errBye) {
			continue
		}
		if !sleep(dialling, s.pace.pause(tries/len(s.cfg.Proxies))) {
			return nil
		}
	}
}

// setTrouble tells that a line has ended or was never made, and why.
func (s *Stream) setTrouble(l *line, err error) {
	e := Event{Kind: Failed, Proxy: l.proxy, Err: err}
	if l.greeted {
		e.Kind = Lost
	}
	s.out.setTrouble(err)
	s.tell(e)
}

// sleep reports false if ctx ended before d had passed.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// dial connects to a proxy, and proves its name if it has TLS.
func (s *Stream) dial(ctx context.Context, proxy Address) (net.Conn, error) {
	conn, err := tcpDialer(s.cfg.LocalAddr).DialContext(ctx, "tcp", proxy.tcp())
	if err != nil || !proxy.TLS {
		return conn, err
	}
	config := s.cfg.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName = proxy.serverName()
	}
	secure := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, s.pace.answer+s.pace.pong)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
			return nil, fmt.Errorf("%v does not speak TLS: name the port of the proxy's --tls, or leave tls:// out", proxy)
		}
		return nil, fmt.Errorf("%v: TLS handshake: %w", proxy, err)
	}
	return secure, nil
}
