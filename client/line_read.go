package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const readBuffer = 16 << 10 // bytes

// read reads and handles frames until the connection ends, and says why it did.
func (l *line) read() error {
	r := bufio.NewReaderSize(stethoscope{l}, readBuffer)
	for {
		frame, err := wire.ReadFrame(r, wire.Limits{MaxText: chat.MaxText})
		if err != nil {
			return l.readingFailed(err)
		}
		if err := l.handle(frame); err != nil {
			return err
		}
	}
}

// stethoscope reads from a line's connection and notes when bytes came. All of them are signs of life: a long message on a
// slow way may take its time.
type stethoscope struct{ *line }

func (s stethoscope) Read(b []byte) (int, error) {
	n, err := s.conn.Read(b)
	if n > 0 {
		s.mu.Lock()
		s.reads++
		s.heard = time.Now()
		s.mu.Unlock()
	}
	return n, err
}

// readingFailed puts err into words. It hides the code of an error of the codec: that is what this end thinks of the
// proxy, and not what the system says of a message or of the user.
func (l *line) readingFailed(err error) error {
	switch _, strange := errors.AsType[*chat.Error](err); {
	case strange:
		return notMultichat(err)
	case err == io.EOF && !l.answered:
		return errors.New("it closed the connection without an answer")
	case err == io.EOF:
		return errors.New("it closed the connection")
	}
	return err
}

func notMultichat(what any) error {
	return fmt.Errorf("it does not speak version 2 of multichat; is the address right? (%v)", what)
}

func (l *line) handle(frame wire.Frame) error {
	switch f := frame.(type) {
	case wire.Malformed:
		// What it was is not known. If it was a message, the ack of a later one would lose it.
		return notMultichat(f.Err)
	case wire.Login, wire.Wrmsg, wire.Ack:
		return notMultichat(fmt.Sprintf("it sent a %T, as only clients do", f))
	}
	l.answered = true
	switch f := frame.(type) {
	case wire.Reply:
		return l.handleReply(f)
	case wire.Newmsg:
		return l.handleMessage(f.Message)
	case wire.Ping:
		l.handlePing(f.ID)
	case wire.Bye:
		return errBye
	}
	return nil
}

func (l *line) handleReply(r wire.Reply) error {
	switch {
	case r.ID == loginID, !l.isLoggedIn() && (r.ID == "" || r.Err != nil):
		// Whatever the id: nothing else was asked yet. A proxy with too many connections refuses one unread, under an id of
		// its own.
		return l.handleLogin(r.Err)
	case r.ID == "":
		l.cfg.Log.Warn("the proxy refused something", "proxy", l.proxy, "error", r.Err)
	case l.in.answer(r.ID):
		if r.Err != nil {
			l.cfg.Log.Warn("the last messages may come again: their ack was refused", "proxy", l.proxy, "error", r.Err)
		}
		l.signal()
	default:
		l.out.answer(r, time.Now())
	}
	return nil
}

// handleLogin takes the answer to the login, or a later word about it.
func (l *line) handleLogin(refusal *chat.Error) error {
	if refusal == nil || refusal.Code != chat.CodeUnknown {
		l.judged = true
	}
	switch {
	case refusal == nil:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.loggedIn.IsZero() {
			l.loggedIn = time.Now()
		}
		l.signal()
		return nil
	case passes(refusal.Code), refusal.Code == chat.CodeSlow:
		return fmt.Errorf("it does not serve this stream now: %w", refusal)
	case refusal.Code == chat.CodeReplaced && l.strays.blame(time.Now().Add(-l.pace.stray)):
		return fmt.Errorf("%w: %w", errOwnLogin, refusal)
	}
	close(l.refused) // once: this ends the last line of the stream
	return final{refusal}
}

func (l *line) isLoggedIn() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.loggedIn.IsZero()
}

// handleMessage brings a message to Take. While there is no room it waits, and the system with it.
func (l *line) handleMessage(m chat.Message) error {
	if l.cfg.Device == "" || !l.in.reads(m.To) {
		return notMultichat(fmt.Sprintf("it sent a message of %q, which this stream does not read", m.To))
	}
	if l.dropping {
		return nil
	}
	select {
	case l.deliveries <- m:
		return nil
	default:
	}
	l.setDeaf(true)
	defer l.setDeaf(false)
	select {
	case l.deliveries <- m:
		return nil
	case <-l.gone:
	case <-l.leaving:
	}
	// None after this one may be taken: its ack would be for this one too.
	l.dropping = true
	return nil
}

// setDeaf says whether reading is held up. What has come meanwhile is heard right after.
func (l *line) setDeaf(deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = deaf
	l.heard = time.Now()
	l.signal()
}

func (l *line) handlePing(id chat.MessageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pongs) < maxPongs {
		l.pongs = append(l.pongs, id)
		l.signal()
	}
}
