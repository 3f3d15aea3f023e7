package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// streamer is a client of a stream, as an edge is one. Unless it is told otherwise, it has a goroutine that acknowledges
// what it is given, and takes all it is offered.
type streamer struct {
	t     testing.TB
	user  chat.UserID
	login edge.Login
	from  edge.Caller

	calls  sync.Mutex // of the stream: they come one after another
	stream edge.Stream
	refs   uint64
	acking sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	silent  bool // it acknowledges nothing by itself
	full    bool // it takes nothing
	offers  int  // calls of Deliver
	got     []chat.Message
	acked   edge.Places // as far as it has acknowledged by itself
	answers map[uint64]answered
	plain   int // answers to acks without a ref
	ended   bool
	why     error
	closed  bool
}

// answered is an answer of a stream.
type answered struct {
	seq     chat.Seq
	refusal *chat.Error
}

func newStreamer(t testing.TB, user chat.UserID, device chat.DeviceID) *streamer {
	s := &streamer{t: t, user: user, from: anyCaller, answers: make(map[uint64]answered), login: edge.Login{
		User: user, Password: chat.NewSecret(passwordOf(user)), Device: device, Nonce: rand.Uint32N(1 << chat.SessionNonceBits)}}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// stream logs in on a device, and must get in.
func (n *node) stream(user chat.UserID, device chat.DeviceID, settings ...func(*streamer)) *streamer {
	n.t.Helper()
	s := newStreamer(n.t, user, device)
	for _, set := range settings {
		set(s)
	}
	if err := s.open(n); err != nil {
		n.t.Fatalf("%s on %q: %v", user, device, err)
	}
	return s
}

func silent(s *streamer) { s.silent = true }

// open logs in. The stream is closed at the end of the test, if that was not done before.
func (s *streamer) open(n *node) error {
	stream, err := n.Login(context.Background(), s.from, s.login, s)
	if err != nil {
		return err
	}
	s.stream = stream
	s.acking.Go(s.acknowledge)
	s.t.Cleanup(s.close)
	return nil
}

// takeOver is the same stream on its way to another server, with what it was given.
func (s *streamer) takeOver() *streamer {
	next := newStreamer(s.t, s.user, s.login.Device)
	next.login = s.login
	next.login.TakeOver = true
	for _, m := range s.messages() {
		if m.To == chat.Everyone {
			next.login.Given.Broadcast = m.Seq
		} else {
			next.login.Given.Inbox = m.Seq
		}
	}
	return next
}

func (s *streamer) close() {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	s.acking.Wait()
	s.calls.Lock()
	defer s.calls.Unlock()
	s.stream.Close()
}

// acknowledge acknowledges what comes, the newest of each mailbox at a time.
func (s *streamer) acknowledge() {
	for {
		newest, acked, ok := s.unacknowledged()
		if !ok {
			return
		}
		if newest.Inbox > acked.Inbox {
			s.ack(s.user.Mailbox(), newest.Inbox)
		}
		if newest.Broadcast > acked.Broadcast {
			s.ack(chat.Everyone, newest.Broadcast)
		}
		s.set(func(s *streamer) { s.acked = newest })
	}
}

// unacknowledged waits until something is to be acknowledged; ok is false at the end.
func (s *streamer) unacknowledged() (newest, acked edge.Places, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		newest = s.givenLocked()
		switch {
		case s.ended:
			return newest, s.acked, false
		case !s.silent && newest != s.acked:
			return newest, s.acked, true
		case s.closed:
			return newest, s.acked, false
		}
		s.changed.Wait()
	}
}

// givenLocked is the newest message of each mailbox.
func (s *streamer) givenLocked() (newest edge.Places) {
	for i := len(s.got) - 1; i >= 0 && (newest.Inbox == 0 || newest.Broadcast == 0); i-- {
		if s.got[i].To == chat.Everyone {
			newest.Broadcast = max(newest.Broadcast, s.got[i].Seq)
		} else {
			newest.Inbox = max(newest.Inbox, s.got[i].Seq)
		}
	}
	return newest
}

// Answer implements [edge.StreamClient].
func (s *streamer) Answer(ref uint64, seq chat.Seq, refusal *chat.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.answers[ref]; twice && ref != 0 {
		s.t.Errorf("%s: two answers to call %d", s.user, ref)
	}
	s.answers[ref] = answered{seq, refusal}
	if ref == 0 {
		s.plain++
	}
}

// Deliver implements [edge.StreamClient].
func (s *streamer) Deliver(messages []chat.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers++
	if s.full {
		return false
	}
	if len(messages) == 0 {
		s.t.Errorf("%s is given no messages", s.user)
	}
	s.got = append(s.got, messages...)
	s.changed.Broadcast()
	return true
}

// End implements [edge.StreamClient].
func (s *streamer) End(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		s.t.Errorf("%s: ended twice, with %v and %v", s.user, s.why, why)
	}
	s.ended, s.why = true, why
	s.changed.Broadcast()
}

// set changes how the client behaves.
func (s *streamer) set(change func(*streamer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	s.changed.Broadcast()
}

// call makes a call of the stream with a new ref.
func (s *streamer) call(f func(edge.Stream, uint64)) (ref uint64) {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.refs++
	f(s.stream, s.refs)
	return s.refs
}

// ack acknowledges without being answered.
func (s *streamer) ack(mailbox chat.Mailbox, seq chat.Seq) {
	s.call(func(st edge.Stream, _ uint64) { st.Ack(0, mailbox, seq) })
}

// ackStored acknowledges and returns the answer's code.
func (s *streamer) ackStored(mailbox chat.Mailbox, seq chat.Seq) chat.Code {
	s.t.Helper()
	return s.answer(s.call(func(st edge.Stream, ref uint64) { st.Ack(ref, mailbox, seq) })).code()
}

// send sends a text that is its own id.
func (s *streamer) send(to chat.Mailbox, text string) (ref uint64) {
	return s.call(func(st edge.Stream, ref uint64) {
		st.Send(ref, edge.StreamMessage{ID: chat.MessageID(text), To: to, Text: []byte(text)})
	})
}

// say sends a text that must be stored.
func (s *streamer) say(to chat.Mailbox, text string) chat.Seq {
	s.t.Helper()
	a := s.answer(s.send(to, text))
	if a.refusal != nil {
		s.t.Fatalf("%s to %s: %v", s.user, to, a.refusal)
	}
	return a.seq
}

// answer waits for the answer to a call.
func (s *streamer) answer(ref uint64) answered {
	s.t.Helper()
	eventually(s.t, fmt.Sprint("an answer to call ", ref), func() bool { return s.isAnswered(ref) })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers[ref]
}

func (s *streamer) isAnswered(ref uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.answers[ref]
	return ok
}

// refusals is how many acks without a ref were refused.
func (s *streamer) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plain
}

func (a answered) code() chat.Code {
	if a.refusal == nil {
		return "ok"
	}
	return a.refusal.Code
}

func (s *streamer) messages() []chat.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *streamer) texts() []string {
	messages := s.messages()
	texts := make([]string, len(messages))
	for i, m := range messages {
		texts[i] = string(m.Text)
	}
	return texts
}

// gets waits until as many texts have come as are named, and are acknowledged unless it is silent, and fails unless they
// are these in this order.
func (s *streamer) gets(texts ...string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s is given %.300q", s.user, texts), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.got) >= len(texts) && (s.silent || s.acked == s.givenLocked())
	})
	if got := s.texts(); !slices.Equal(got, texts) {
		s.t.Fatalf("%s got %.500q, want %.500q", s.user, got, texts)
	}
}

// isEnded waits until the stream has been ended, with this code; empty stands for the node that is about to end.
func (s *streamer) isEnded(code chat.Code) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the stream of %s ends", s.user), func() bool { ended, _ := s.end(); return ended })
	_, why := s.end()
	if why == nil && code != "" || why != nil && codeOf(why) != code {
		s.t.Fatalf("the stream of %s has ended with %v, want %s", s.user, why, code)
	}
}

func (s *streamer) end() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended, s.why
}

// longText is a text of many bytes with a number at its beginning.
func longText(i, bytes int) string { return fmt.Sprintf("%06d", i) + strings.Repeat("x", bytes-6) }

// pushes is how many messages were taken, or pushes ended otherwise.
func (n *node) pushes(outcome string) int {
	return int(testutil.ToFloat64(n.metrics.Pushes.WithLabelValues(outcome)))
}
