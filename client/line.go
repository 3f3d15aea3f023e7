package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const (
	loginID chat.MessageID = "login" // also what the system calls the login when it ends the stream

	maxPongs  = 16                     // pings from the system that wait for their pong; more get none, since one says enough
	lastWords = 200 * time.Millisecond // for what the proxy said before it closed a connection that could not be written to
)

// line is one connection to a proxy, from before it is made to after it is closed. One goroutine writes and keeps the
// time, one reads (line_read.go).
type line struct {
	*Stream
	proxy Address
	conn  net.Conn
	gone  chan struct{} // closed when the writer has given the line up

	// The writer's.
	pulse   pulse
	begun   time.Time // when the login was written; zero: it was not
	parting time.Time // when the last acks were written; zero: they were not
	wrote   time.Time
	pings   int
	greeted bool // the writer has seen that the login was accepted

	// The reader's until it has ended.
	answered bool // the proxy said something of the protocol
	judged   bool // the system said what became of the login, so it does nothing more of it later
	dropping bool // messages are passed over, as one before was

	mu       sync.Mutex
	reads    int       // how many times bytes came
	heard    time.Time // when they last did
	deaf     bool      // reading is held up by messages that wait to be taken
	loggedIn time.Time // zero: not yet
	pongs    []chat.MessageID
}

// attend makes the connection and keeps it until it is lost or left, and says why.
func (l *line) attend(working, dialling context.Context) error {
	var err error
	if l.conn, err = l.dial(dialling, l.proxy); err != nil {
		return err
	}
	defer l.conn.Close()
	l.heard = time.Now()
	l.pulse.pace = l.pace

	reading := make(chan error, 1)
	go func() { reading <- l.read() }()
	err, read := l.write(working, dialling, reading)
	close(l.gone)
	if !read {
		err = l.hangUp(err, reading)
	}
	if !l.begun.IsZero() && !l.judged {
		l.strays.add(time.Now())
	}
	l.in.lost()
	l.out.lost()
	return fmt.Errorf("%v: %w", l.proxy, err)
}

// hangUp closes the connection because of why, and waits for the reader. What the proxy said last may tell more than
// that it could not be written to.
func (l *line) hangUp(why error, reading <-chan error) error {
	if errors.Is(why, errWriting) {
		l.conn.SetReadDeadline(time.Now().Add(lastWords))
		said := <-reading
		if _, refused := errors.AsType[*chat.Error](said); refused || errors.Is(said, errBye) {
			return said
		}
		return why
	}
	l.conn.Close()
	<-reading
	return why
}

var errWriting = errors.New("the connection broke")

// write writes what there is to be written until the line ends. It reports whether the reader has ended, and with what.
func (l *line) write(working, dialling context.Context, reading <-chan error) (err error, read bool) {
	var room []byte
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		frames, due, end := l.compose(room[:0], now, dialling)
		if len(frames) > 0 {
			l.conn.SetWriteDeadline(now.Add(l.pace.answer + l.pace.pong))
			if _, err := l.conn.Write(frames); err != nil {
				return fmt.Errorf("%w: %w", errWriting, err), false
			}
			l.wrote = now
			room = frames
		}
		if end != nil {
			return end, false
		}
		if len(frames) > 0 {
			continue
		}
		timer.Reset(time.Until(due))
		select {
		case err := <-reading:
			return err, true
		case <-l.wake:
		case <-timer.C:
		case <-working.Done():
			return errLeft, false
		}
	}
}

// plan is what is to be done on a line.
type plan struct {
	frames  []byte    // to be written now
	due     time.Time // when to look again if nothing happens before; zero: then it need not be
	waiting time.Time // since when something is unanswered; zero: nothing is
	end     error     // the line ends when the frames are written
}

// compose appends what is to be written now, and says when to look again, or why the line ends.
func (l *line) compose(dst []byte, now time.Time, dialling context.Context) (frames []byte, due time.Time, end error) {
	s, loggedIn := l.look()
	p := plan{frames: l.appendPongs(dst)}
	switch {
	case loggedIn && l.isLeaving():
		l.takeLeave(&p, now)
	case loggedIn:
		l.work(&p, now)
	case dialling.Err() != nil:
		p.end = errLeft
	default:
		l.logIn(&p, now)
	}
	s.waiting = p.waiting
	beat, next := l.pulse.feel(now, s)
	switch {
	case p.end != nil:
	case beat == dead:
		p.end = fmt.Errorf("it does not answer, nor a ping for %v", l.pace.pong)
	case beat == asking:
		l.pings++
		p.frames = wire.AppendPing(p.frames, chat.MessageID(fmt.Sprintf("ping-%d", l.pings)))
	}
	return p.frames, sooner(p.due, next), p.end
}

// look is what the writer has to know of what the reader knows.
func (l *line) look() (s signs, loggedIn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return signs{reads: l.reads, heard: l.heard, wrote: l.wrote, deaf: l.deaf}, !l.loggedIn.IsZero()
}

func (l *line) appendPongs(dst []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.pongs {
		dst = wire.AppendPong(dst, id)
	}
	l.pongs = l.pongs[:0]
	return dst
}

func (l *line) logIn(p *plan, now time.Time) {
	if l.begun.IsZero() {
		l.begun = now
		p.frames = wire.AppendLogin(p.frames, wire.Login{
			ID: loginID, User: l.cfg.User, Password: l.cfg.Password, Device: l.cfg.Device, SendOnly: l.cfg.Device == "",
		})
	}
	p.waiting, p.due = l.begun, l.begun.Add(l.pace.login)
	if !now.Before(p.due) {
		p.end = fmt.Errorf("it is alive and has not answered the login for %v", l.pace.login)
	}
}

func (l *line) work(p *plan, now time.Time) {
	if !l.greeted {
		l.greeted = true
		l.out.setTrouble(nil)
		l.tell(Event{Kind: Connected, Proxy: l.proxy})
	}
	p.frames, p.due = l.in.appendAcks(p.frames, now)
	var found sends
	p.frames, found = l.out.appendSends(p.frames, now)
	for _, e := range found.retried {
		e.Proxy = l.proxy
		l.tell(e)
	}
	p.due, p.waiting = sooner(p.due, found.again), found.oldest
	if found.oldest.IsZero() {
		return
	}
	stuck := found.oldest.Add(l.pace.stuck)
	p.due = sooner(p.due, stuck)
	if !now.Before(stuck) {
		p.end = fmt.Errorf("it is alive and has not answered a message for %v", l.pace.stuck)
	}
}

// takeLeave has what was taken acknowledged, and says bye.
func (l *line) takeLeave(p *plan, now time.Time) {
	p.frames = l.in.appendLastAcks(p.frames)
	if l.in.settled() {
		p.frames, p.end = wire.AppendBye(p.frames), errLeft
		return
	}
	if l.parting.IsZero() {
		l.parting = now
	}
	p.waiting = l.parting
}

// wasGood says whether the line, which has ended, lasted for a while.
func (l *line) wasGood() bool {
	return !l.loggedIn.IsZero() && time.Since(l.loggedIn) >= l.pace.settled
}
