package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/checker"
	"multichat/internal/wire"
)

// stream is a client of version 2 over a plain socket. It goes on at the next proxy when a connection ends, and says there
// again what was unanswered. One goroutine sends and keeps the time, one reads.
type stream struct {
	person
	announced chan struct{} // closed at the first login
	try       int           // of connections

	mu      sync.Mutex
	conn    net.Conn // nil while there is none
	pending []*pending
	heard   time.Time // when something was read last
	pinged  time.Time // zero: nobody waits for a pong
	shown   map[chat.Mailbox]map[chat.Seq]bool
	acks    acks
}

// pending is a message that is not answered for good.
type pending struct {
	message
	under bool      // an attempt is under way
	due   time.Time // of the next attempt, if none is
}

// How a stream keeps the time. What the protocol asks of a client is in wire's "Version 2: streams".
const (
	streamTick   = 100 * time.Millisecond
	loginTimeout = 6 * time.Second
	silenceLimit = 2 * time.Second        // without an answer until the ping, and from there until the connection is given up
	retryPause   = 300 * time.Millisecond // after a refusal
)

func newStream(p person, i int) *stream {
	s := &stream{person: p, announced: make(chan struct{}), try: i, shown: make(map[chat.Mailbox]map[chat.Seq]bool)}
	s.acks.newest = make(map[chat.Mailbox]chat.Seq)
	s.acks.rand = p.rand
	return s
}

func (s *stream) announce(ctx context.Context) error {
	select {
	case <-s.announced:
		s.add(checker.Record{Kind: checker.Device, Version: 2})
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", s.name, errNotAnnounced)
	}
}

func (s *stream) serve(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.connect(ctx)
		if refusal, ok := errors.AsType[*chat.Error](err); ok && refusal.Code == chat.CodeAuth {
			return fmt.Errorf("%s cannot log in: %w", s.name, err)
		}
		s.try++
		sleep(ctx, 50*time.Millisecond)
	}
	return ctx.Err()
}

// connect makes a connection, and keeps it until it ends.
func (s *stream) connect(ctx context.Context) error {
	conn, err := s.dial(ctx, s.proxy(s.try))
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 16<<10)
	if err := s.logIn(conn, r); err != nil {
		return err
	}
	s.begin(conn)
	ended := make(chan error, 1)
	go func() { ended <- s.read(r) }()
	err = s.keep(ctx, ended)
	conn.Close()
	if err == nil {
		err = <-ended
	}
	s.lost()
	return err
}

const loginID = "login"

func (s *stream) logIn(conn net.Conn, r *bufio.Reader) error {
	conn.SetDeadline(time.Now().Add(loginTimeout))
	defer conn.SetDeadline(time.Time{})
	login := wire.Login{ID: loginID, User: s.user, Password: s.load.cfg.Password, Device: chat.DeviceID(s.name)}
	if _, err := conn.Write(wire.AppendLogin(nil, login)); err != nil {
		return err
	}
	for {
		frame, err := wire.ReadFrame(r, wire.Limits{MaxText: chat.MaxText})
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case wire.Reply:
			if f.Err != nil {
				return f.Err
			}
			return nil
		case wire.Bye:
			return errBye
		default:
			s.complain("a %T came before the login's answer", frame)
		}
	}
}

var errBye = errors.New("the proxy said bye")

// complain has it judged that the system said what it must not say.
func (s *stream) complain(format string, args ...any) {
	s.add(checker.Record{Kind: checker.Delivery, Text: fmt.Sprintf(format, args...)}) // which nobody sent
}

// begin takes up a connection that has logged in, and says again what is unanswered.
func (s *stream) begin(conn net.Conn) {
	select {
	case <-s.announced:
	default:
		close(s.announced)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.heard, s.pinged = conn, time.Now(), time.Time{}
	for _, p := range s.pending {
		p.due = time.Time{}
	}
	s.sendDueLocked(s.heard)
}

// lost gives the connection up. What was under way is unknown.
func (s *stream) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = nil
	for _, p := range s.pending {
		if p.under {
			p.under = false
			s.add(checker.Record{Kind: checker.Unknown, Text: p.text})
		}
	}
}

// keep sends until the connection has ended, whose reason it takes from the reader, or is given up: then the error is nil,
// and closing the connection ends the reader.
func (s *stream) keep(ctx context.Context, ended chan error) error {
	pace, tick := time.NewTicker(s.pace), time.NewTicker(streamTick)
	defer pace.Stop()
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			return nil
		case <-ctx.Done():
			return nil
		case <-pace.C:
			if s.load.sending.Load() {
				s.send()
			}
		case now := <-tick.C:
			if !s.beat(now) {
				return nil
			}
		}
	}
}

func (s *stream) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) < maxPending {
		s.pending = append(s.pending, &pending{message: s.next()})
	}
	s.sendDueLocked(time.Now())
}

// sendDueLocked writes what is to be written, in the order of the messages.
func (s *stream) sendDueLocked(now time.Time) {
	var frames []byte
	for _, p := range s.pending {
		if p.under || now.Before(p.due) {
			continue
		}
		p.under = true
		s.add(checker.Record{Kind: checker.Attempt, To: p.to, Text: p.text})
		frames = wire.AppendSend(frames, wire.Wrmsg{ID: p.id, To: p.to, Text: []byte(p.text)})
	}
	s.writeLocked(frames)
}

// writeLocked writes frames. That it cannot is noticed by the reader, or by the silence.
func (s *stream) writeLocked(frames []byte) {
	if s.conn == nil || len(frames) == 0 {
		return
	}
	s.conn.SetWriteDeadline(time.Now().Add(2 * silenceLimit))
	if _, err := s.conn.Write(frames); err != nil {
		s.conn.Close()
	}
}

// beat sends what is due again, acknowledges what waits for that, and is false when the proxy has been silent for too long
// though something is unanswered.
func (s *stream) beat(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendDueLocked(now)
	s.writeLocked(s.acks.late())
	waits := false
	for _, p := range s.pending {
		waits = waits || p.under
	}
	switch {
	case !waits || now.Sub(s.heard) < silenceLimit:
		s.pinged = time.Time{}
	case s.pinged.IsZero():
		s.pinged = now
		s.writeLocked(wire.AppendPing(nil, "ping"))
	case now.Sub(s.pinged) >= silenceLimit:
		return false
	}
	return true
}

// read reads to the connection's end.
func (s *stream) read(r *bufio.Reader) error {
	for {
		frame, err := wire.ReadFrame(r, wire.Limits{MaxText: chat.MaxText})
		if err != nil {
			return err
		}
		s.mu.Lock()
		err = s.handleLocked(frame)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (s *stream) handleLocked(frame wire.Frame) error {
	s.heard = time.Now()
	switch f := frame.(type) {
	case wire.Reply:
		return s.replyLocked(f)
	case wire.Newmsg:
		s.takeLocked(f.Message)
	case wire.Ping:
		s.writeLocked(wire.AppendPong(nil, f.ID))
	case wire.Bye:
		return errBye
	case wire.Pong:
	default:
		s.complain("the proxy sent %v", frame)
	}
	return nil
}

func (s *stream) replyLocked(r wire.Reply) error {
	if r.ID == loginID {
		return fmt.Errorf("the stream was ended: %w", r.Err)
	}
	if r.ID == tooHighID {
		if r.Err == nil {
			s.complain("an ack of what there is not was taken")
		}
		return nil
	}
	if r.ID == "" && r.Err != nil && (r.Err.Code == chat.CodeUnavail || r.Err.Code == chat.CodeBusy) {
		s.acks.refused()
		return nil
	}
	for i, p := range s.pending {
		if p.id != r.ID {
			continue
		}
		s.answeredLocked(i, r)
		return nil
	}
	s.complain("an answer to %q, which nobody waits for: %v", r.ID, r.Err)
	return nil
}

// answeredLocked ends an attempt. What was not stored for certain is sent again or given up, as is what nobody knows.
func (s *stream) answeredLocked(i int, r wire.Reply) {
	p := s.pending[i]
	p.under = false
	record := checker.Record{Kind: checker.OK, Text: p.text, Seq: r.Seq}
	if r.Err != nil {
		record.Kind, record.Code = checker.Err, r.Err.Code
		if r.Err.Code == chat.CodeUnknown {
			record.Kind = checker.Unknown
		}
	}
	s.add(record)
	if r.Err != nil && s.rand.IntN(2) == 0 {
		p.due = time.Now().Add(retryPause)
		return
	}
	s.pending = append(s.pending[:i], s.pending[i+1:]...)
}

// takeLocked shows a message, once, and acknowledges it in this client's way.
func (s *stream) takeLocked(m chat.Message) {
	seen := s.shown[m.To]
	if seen == nil {
		seen = make(map[chat.Seq]bool)
		s.shown[m.To] = seen
	}
	s.add(checker.Record{Kind: checker.Delivery, From: m.From, To: m.To, Seq: m.Seq, Text: string(m.Text), Hidden: seen[m.Seq]})
	seen[m.Seq] = true
	s.writeLocked(s.acks.take(m))
}
