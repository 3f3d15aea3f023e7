package mysqltest

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// maxLines is how many connections a relay carries. More are closed as soon as they are made.
const maxLines = 1024

// Relay is a TCP relay before a server, which a test tells when to fail. A fault strikes all connections, those that
// are made later too, until [Relay.Drop] or [Relay.Resume]. Its methods may be called by many.
type Relay struct {
	target   string
	listener net.Listener
	ctx      context.Context // done when the relay ends
	running  sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond // a fault began or ended, or a line was dropped
	lines    map[*line]struct{}
	refusing bool
	deaf     bool // answers are thrown away
	cut      bool // of requests only so much passes as each line has left
	cutAfter int
	watches  []watch
}

// watch waits for a text to go by in requests.
type watch struct {
	text []byte
	then func()
}

// line is one connection of a client, and the one to the server that belongs to it.
type line struct {
	client, server net.Conn

	// Guarded by the relay's mu.
	left    int // how many more bytes of requests pass, if they are cut
	dropped bool
}

// NewRelay relays to a server, HOST:PORT, until the test ends.
func NewRelay(t testing.TB, target string) *Relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Relay{target: target, listener: listener, ctx: ctx, lines: make(map[*line]struct{})}
	r.changed = sync.NewCond(&r.mu)
	r.running.Go(r.serve)
	t.Cleanup(func() {
		cancel()
		listener.Close()
		r.Drop()
		r.running.Wait()
	})
	return r
}

// Addr is where the relay listens, HOST:PORT.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Through is a database's URL by way of the relay, in clear, so that [Relay.When] can read along.
func (r *Relay) Through(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		panic("mysqltest: not a URL of Server.Database") // it may hold a password
	}
	settings := u.Query()
	settings.Set("tls", "false")
	u.Host, u.RawQuery = r.Addr(), settings.Encode()
	return u.String()
}

// CutReplies throws away whatever the server answers from now on. Requests still pass.
func (r *Relay) CutReplies() {
	r.change(func() { r.deaf = true })
}

// CutAfter lets n more bytes of requests pass on each connection and holds what follows, as when a cable is pulled: the
// server does not learn either that a client has closed.
func (r *Relay) CutAfter(n int) {
	r.change(func() {
		r.cut, r.cutAfter = true, n
		for l := range r.lines {
			l.left = n
		}
	})
}

// Resume ends all faults. Requests that were held go on; answers that were thrown away are gone.
func (r *Relay) Resume() {
	r.change(func() { r.deaf, r.cut = false, false })
}

// Drop closes all connections and, at the same moment, ends all faults but that of Refuse.
func (r *Relay) Drop() {
	r.change(func() {
		r.deaf, r.cut = false, false
		for l := range r.lines {
			r.dropLocked(l)
		}
	})
}

// Refuse begins or ends closing new connections as soon as they are made. Those that are open stay.
func (r *Relay) Refuse(refuse bool) {
	r.change(func() { r.refusing = refuse })
}

// When calls then once, the next time that the text goes by in requests, before the part that ends it is passed on. So
// a [Relay.CutAfter] in it counts from the start of that part, at most 16 KiB long. The text is at most 1 KiB long.
func (r *Relay) When(text string, then func()) {
	r.change(func() { r.watches = append(r.watches, watch{[]byte(text), then}) })
}

func (r *Relay) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	r.changed.Broadcast()
}

func (r *Relay) serve() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		l := &line{client: client}
		if !r.admit(l) {
			client.(*net.TCPConn).SetLinger(0) // a reset, as of a port where nobody listens
			client.Close()
			continue
		}
		r.running.Go(func() { r.carry(l) })
	}
}

func (r *Relay) admit(l *line) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusing || len(r.lines) >= maxLines || r.ctx.Err() != nil {
		return false
	}
	l.left = r.cutAfter
	r.lines[l] = struct{}{}
	return true
}

// carry connects a line to the server and relays until either side closes.
func (r *Relay) carry(l *line) {
	defer r.drop(l)
	dialer := net.Dialer{Timeout: 5 * time.Second}
	server, err := dialer.DialContext(r.ctx, "tcp", r.target)
	if err != nil {
		return
	}
	if !r.connect(l, server) {
		server.Close()
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() { r.relayAnswers(l) })
	r.relayRequests(l)
	r.drop(l)
	answers.Wait()
}

func (r *Relay) connect(l *line, server net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.server = server
	return !l.dropped
}

func (r *Relay) drop(l *line) {
	r.change(func() { r.dropLocked(l) })
}

func (r *Relay) dropLocked(l *line) {
	l.dropped = true
	delete(r.lines, l)
	l.client.Close()
	if l.server != nil {
		l.server.Close()
	}
}

func (r *Relay) relayRequests(l *line) {
	buf := make([]byte, 16<<10)
	var seen []byte // the end of what went before, for texts that lie across
	for {
		n, err := l.client.Read(buf)
		seen = r.notice(seen, buf[:n])
		for rest := buf[:n]; len(rest) > 0; {
			pass := r.allowance(l, len(rest))
			if pass == 0 {
				return
			}
			if _, err := l.server.Write(rest[:pass]); err != nil {
				return
			}
			rest = rest[pass:]
		}
		if err != nil {
			r.allowance(l, 1) // a client's close is held like its requests
			return
		}
	}
}

// allowance waits until some of n bytes may pass and says how many. It is 0 when the line is dropped.
func (r *Relay) allowance(l *line, n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !l.dropped && r.cut && l.left <= 0 {
		r.changed.Wait()
	}
	switch {
	case l.dropped:
		return 0
	case r.cut:
		n = min(n, l.left)
		l.left -= n
	}
	return n
}

// notice calls what waits for a text that ends in this part. It returns the end of all, which comes before the next part.
func (r *Relay) notice(before, part []byte) []byte {
	const longestText = 1 << 10
	text := append(before, part...)
	for _, w := range r.noticed(text, len(part)) {
		w.then()
	}
	return append([]byte(nil), text[max(0, len(text)-longestText):]...)
}

// noticed takes the watches out whose text ends in the last n bytes.
func (r *Relay) noticed(text []byte, n int) (hits []watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var waiting []watch
	for _, w := range r.watches {
		if bytes.Contains(text[max(0, len(text)-n-len(w.text)+1):], w.text) {
			hits = append(hits, w)
		} else {
			waiting = append(waiting, w)
		}
	}
	r.watches = waiting
	return hits
}

func (r *Relay) relayAnswers(l *line) {
	defer r.drop(l) // which also ends the reading of requests
	buf := make([]byte, 16<<10)
	for {
		n, err := l.server.Read(buf)
		if n > 0 && !r.isDeaf() {
			if _, err := l.client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *Relay) isDeaf() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deaf
}
