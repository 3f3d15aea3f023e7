package main_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/proctest"
)

// crowd is clients that send and read while something is done to the system. Each sender numbers its messages, and has one
// recipient; what was stored has to come to each of the recipient's readers, in the order sent, and once.
type crowd struct {
	t       *testing.T
	stop    chan struct{} // closed when nothing new is sent any more
	sending sync.WaitGroup
	ctx     context.Context // ends the readers
	end     context.CancelFunc
	reading sync.WaitGroup
	senders []*sender
	readers []*reader
	log     *proctest.Output // how the library's connections fare; printed when the test fails
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t, stop: make(chan struct{}), log: &proctest.Output{}}
	c.ctx, c.end = context.WithCancel(context.Background())
	t.Cleanup(func() {
		c.end() // first: what is unanswered may never be answered, since nodes are ended in other clean-ups
		c.endSending()
		c.reading.Wait()
		if t.Failed() {
			t.Logf("the library said:\n%s", c.log)
		}
	})
	return c
}

// crowdPace is between two messages of a sender.
const crowdPace = 30 * time.Millisecond

// sender is one who sends, and what became of each message.
type sender struct {
	name string // of the client; each text begins with it
	to   string

	mu   sync.Mutex
	sent []sending // by number
}

type sending struct {
	to       string
	begun    time.Time
	ended    time.Time // when it was answered for good; zero: not yet
	stored   bool
	refusals []string // the answers that were not ok
}

func (c *crowd) addSender(name, to string) *sender {
	s := &sender{name: name, to: to}
	c.senders = append(c.senders, s)
	return s
}

func (s *sender) begin() (n int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(s.sent)
	s.sent = append(s.sent, sending{to: s.to, begun: time.Now()})
	return n, s.text(n)
}

func (s *sender) text(n int) string { return fmt.Sprint(s.name, " ", n) }

// answered takes an answer for good; "" is ok.
func (s *sender) answered(n int, refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[n].ended, s.sent[n].stored = time.Now(), refusal == ""
	if refusal != "" {
		s.sent[n].refusals = append(s.sent[n].refusals, refusal)
	}
}

// refused takes an answer after which the message is sent again.
func (s *sender) refused(n int, refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[n].refusals = append(s.sent[n].refusals, refusal)
}

func (s *sender) all() []sending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// stored is how many messages were answered ok.
func (s *sender) stored() (n int) {
	for _, m := range s.all() {
		if m.stored {
			n++
		}
	}
	return n
}

// reader is where messages come to, in the order of their coming.
type reader struct {
	name, user string
	old        *oldClient // nil: it speaks version 2

	mu    sync.Mutex
	texts []string
}

func (c *crowd) addReader(name, user string) *reader {
	r := &reader{name: name, user: user}
	c.readers = append(c.readers, r)
	return r
}

func (r *reader) take(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, text)
}

func (r *reader) received() (texts []string) {
	if r.old != nil {
		for _, m := range r.old.received() {
			texts = append(texts, m.text)
		}
		return texts
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.texts)
}

// sendAtPace calls send again and again until nothing new is to be sent.
func (c *crowd) sendAtPace(send func()) {
	pace := time.NewTicker(crowdPace)
	defer pace.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-pace.C:
			send()
		}
	}
}

// greet returns once each reader gets what is sent to its user: one that is new begins where the user's others are.
func (c *crowd) greet(g gate) {
	c.t.Helper()
	host := startStream(c.t, "alice", "host", "127.0.6.99", g.tcp)
	defer host.close()
	greetings := 0
	proctest.Eventually(c.t, 20*time.Second, func() error {
		for _, r := range c.readers {
			if len(r.received()) == 0 {
				greetings++
				host.mustSend(c.t, fmt.Sprint("greeting", greetings), r.user, fmt.Sprint(greeting, " ", greetings))
				return fmt.Errorf("%s has not come to %s", greeting, r.name)
			}
		}
		return nil
	})
}

const greeting = "a greeting"

func (c *crowd) endSending() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.sending.Wait()
}

// wantMore returns once each sender has n more messages answered that it sent from now on.
func (c *crowd) wantMore(n int) {
	c.t.Helper()
	marks := make([]int, len(c.senders))
	for i, s := range c.senders {
		marks[i] = len(s.all()) + n - 1
	}
	proctest.Eventually(c.t, 60*time.Second, func() error {
		for i, s := range c.senders {
			sent := s.all()
			if len(sent) <= marks[i] || slices.ContainsFunc(sent[:marks[i]+1], func(m sending) bool { return m.ended.IsZero() }) {
				return fmt.Errorf("%s has sent %d messages, and not got all answers up to %d", s.name, len(sent), marks[i])
			}
		}
		return nil
	})
}

// wantAnswers ends the sending, and wants an ok to each message. Before that, it may have been refused for the moment with
// one of these codes.
func (c *crowd) wantAnswers(mayRefuse ...chat.Code) {
	c.t.Helper()
	c.endSending()
	forbidden := func(answer string) bool {
		return !slices.ContainsFunc(mayRefuse, func(code chat.Code) bool { return strings.Contains(answer, ":"+string(code)+":") })
	}
	for _, s := range c.senders {
		refused := 0
		for n, m := range s.all() {
			switch {
			case m.ended.IsZero():
				c.t.Errorf("%s: message %d was not answered", s.name, n)
			case !m.stored || slices.ContainsFunc(m.refusals, forbidden):
				if refused++; refused <= 5 {
					c.t.Errorf("%s: message %d, sent at %s, was answered %q after %v, stored: %t", s.name, n,
						m.begun.Format(time.StampMilli), m.refusals, m.ended.Sub(m.begun).Round(time.Millisecond), m.stored)
				}
			}
		}
		if refused > 5 {
			c.t.Errorf("%s: %d more messages were refused", s.name, refused-5)
		}
	}
}

// wait is how long an answer took, and which.
type wait struct {
	time.Duration
	sender string
	number int
	begun  time.Time
}

func (w wait) String() string {
	if w.Duration == 0 {
		return "0s"
	}
	return fmt.Sprintf("%v (%s, message %d, sent at %s)", w.Duration.Round(time.Millisecond), w.sender, w.number, w.begun.Format(time.StampMilli))
}

// longest is the longest that an answer took, of those messages that count.
func (c *crowd) longest(counts func(sending) bool) (longest wait) {
	for _, s := range c.senders {
		for n, m := range s.all() {
			if d := m.ended.Sub(m.begun); !m.ended.IsZero() && counts(m) && d > longest.Duration {
				longest = wait{d, s.name, n, m.begun}
			}
		}
	}
	return longest
}

func anyMessage(sending) bool { return true }

// stored is how many messages to a user were answered ok.
func (c *crowd) stored(to string) (n int) {
	for _, s := range c.senders {
		if s.to == to {
			n += s.stored()
		}
	}
	return n
}

func (c *crowd) total() (n int) {
	for _, s := range c.senders {
		n += len(s.all())
	}
	return n
}

// wantDelivered ends the sending, and wants everything stored to have come to each reader, in the order of its sender and
// once. In version 1 a message may come again; it returns how many did.
func (c *crowd) wantDelivered() (again int) {
	c.t.Helper()
	c.endSending()
	for _, r := range c.readers {
		want := make(map[string][]int)      // by sender
		disordered := make(map[string]bool) // senders of whom something was refused and stored later
		for _, s := range c.senders {
			for n, m := range s.all() {
				if s.to == r.user && m.stored {
					want[s.name] = append(want[s.name], n)
					disordered[s.name] = disordered[s.name] || len(m.refusals) > 0
				}
			}
		}
		again += c.wantRead(r, want, disordered)
	}
	return again
}

func (c *crowd) wantRead(r *reader, want map[string][]int, disordered map[string]bool) (again int) {
	c.t.Helper()
	left := 0
	for _, numbers := range want {
		left += len(numbers)
	}
	if left == 0 {
		c.t.Fatalf("%s: nothing was stored for %s: too little to tell", r.name, r.user)
	}
	var got map[string][]int
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, again = r.numbers()
		n := -again
		for _, numbers := range got {
			n += len(numbers)
		}
		if n >= left {
			break
		}
		if time.Now().After(deadline) {
			c.t.Errorf("%s: only %d of %d messages have come", r.name, n, left)
			break
		}
	}
	if again > 0 {
		c.t.Logf("%s got %d messages again", r.name, again)
	}
	for name := range want {
		got[name] = append([]int(nil), got[name]...) // though nothing of it has come
	}
	for name, numbers := range got {
		if r.old != nil {
			numbers = withoutRepeats(numbers)
		}
		if disordered[name] {
			slices.Sort(numbers)
		}
		if i := firstDifference(numbers, want[name]); i >= 0 {
			c.t.Errorf("%s got %d messages of %s, want %d; from the %dth on they are %v, want %v", r.name, len(numbers), name,
				len(want[name]), i, numbers[i:min(i+10, len(numbers))], want[name][i:min(i+10, len(want[name]))])
		}
	}
	return again
}

// count is how many messages of a sender have come.
func (r *reader) count(s *sender) int {
	got, _ := r.numbers()
	return len(got[s.name])
}

// numbers are those of what has come, by sender, and how many came again.
func (r *reader) numbers() (got map[string][]int, again int) {
	got = make(map[string][]int)
	seen := make(map[string]bool)
	for _, text := range r.received() {
		if strings.HasPrefix(text, greeting) {
			continue
		}
		i := strings.LastIndexByte(text, ' ')
		n, err := strconv.Atoi(text[i+1:])
		if err != nil {
			n = -1 // which nobody sends
		}
		got[text[:max(i, 0)]] = append(got[text[:max(i, 0)]], n)
		if seen[text] {
			again++
		}
		seen[text] = true
	}
	return got, again
}

func withoutRepeats(numbers []int) (first []int) {
	seen := make(map[int]bool)
	for _, n := range numbers {
		if !seen[n] {
			first = append(first, n)
		}
		seen[n] = true
	}
	return first
}

// firstDifference is where two lists begin to differ, or -1.
func firstDifference(a, b []int) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return min(i, len(a), len(b))
		}
	}
	return -1
}
