package checker

import (
	"cmp"
	"time"

	"multichat/internal/chat"
)

// Checker takes the records of one run, in order of their time, and then makes a Report. It is for one goroutine.
type Checker struct {
	messages map[string]*message        // by text
	order    []*message                 // as first attempted
	devices  map[string]*device         // by client
	readers  map[chat.Mailbox][]*device // by mailbox, as announced; all read Everyone
	senders  map[string]*sender         // by client
	faults   []*fault
	end      time.Duration
	report   Report
}

// message is what is known of a text.
type message struct {
	number int // its place in Checker.order
	text   string
	client string
	from   chat.UserID
	to     chat.Mailbox
	first  time.Duration // of the first attempt

	attempts    int
	open        int // attempts without an outcome
	acked       bool
	ackedAt     time.Duration // the first time
	unknown     bool          // an attempt's outcome is unknown
	given       bool          // to one device at least that it is for
	resurrected bool

	seq      chat.Seq // by whoever told it first; 0 while nobody has
	doubtful bool     // it is in two places, or two messages are in its place
}

// mayBeStored is false while every attempt so far was refused for certain.
func (m *message) mayBeStored() bool { return m.acked || m.unknown || m.open > 0 }

// device is a client that reads.
type device struct {
	name    string
	user    chat.UserID
	version int
	resends bool
	since   time.Duration
	states  []state    // by the message's number; what is missing at the end is 0
	shown   []*message // in the order of their first showings
	repeats []repeat   // version 1
}

// state is what has become of a message on a device.
type state byte

const (
	came  state = 1 << iota // over the wire
	shown                   // to the user
)

// repeat is a showing of what was shown before.
type repeat struct {
	message *message
	at      time.Duration
}

// sender is a client that sends.
type sender struct {
	begun time.Duration   // its first attempt
	tried time.Duration   // its last attempt, or answer other than ok
	oks   []time.Duration // when it was acknowledged something
}

// New makes a Checker.
func New() *Checker {
	return &Checker{
		messages: make(map[string]*message),
		devices:  make(map[string]*device),
		readers:  make(map[chat.Mailbox][]*device),
		senders:  make(map[string]*sender),
		report:   Report{Errs: make(map[chat.Code]int), Longest: make(map[string]time.Duration)},
	}
}

// Add takes the next record.
func (c *Checker) Add(r Record) {
	c.end = max(c.end, r.At)
	switch r.Kind {
	case Device:
		c.announce(r)
	case Attempt:
		c.attempt(r)
	case OK, Err, Unknown:
		c.outcome(r)
	case Delivery:
		c.delivery(r)
	case FaultBegin:
		c.faults = append(c.faults, &fault{kind: r.Fault, target: r.Target, begin: r.At, end: -1})
	case FaultEnd:
		c.endFault(r)
	default:
		c.report.problem(&c.report.Unexpected, "a record of the unknown kind %q", r.Kind)
	}
}

func (c *Checker) announce(r Record) {
	if c.devices[r.Client] != nil {
		c.report.problem(&c.report.Unexpected, "%s is announced twice", r.Client)
		return
	}
	d := &device{name: r.Client, user: r.User, version: r.Version, resends: r.Resends, since: r.At}
	c.devices[d.name] = d
	c.readers[chat.Everyone] = append(c.readers[chat.Everyone], d)
	c.readers[d.user.Mailbox()] = append(c.readers[d.user.Mailbox()], d)
}

func (c *Checker) attempt(r Record) {
	m := c.messages[r.Text]
	if m == nil {
		m = &message{number: len(c.order), text: r.Text, client: r.Client, from: r.User, to: r.To, first: r.At}
		c.messages[m.text] = m
		c.order = append(c.order, m)
	}
	if m.client != r.Client || m.from != r.User || m.to != r.To {
		c.report.problem(&c.report.Unexpected, "%s, of %s, sends %.80q to %q; that is what %s sent to %q",
			r.Client, r.User, r.Text, r.To, m.client, m.to)
		return
	}
	m.attempts++
	m.open++
	s := c.senders[r.Client]
	if s == nil {
		s = &sender{begun: r.At}
		c.senders[r.Client] = s
	}
	s.tried = r.At
}

func (c *Checker) outcome(r Record) {
	m := c.messages[r.Text]
	if m == nil || m.client != r.Client || m.open == 0 {
		c.report.problem(&c.report.Unexpected, "%s is answered %s for %.80q, which it does not wait for", r.Client, r.Kind, r.Text)
		return
	}
	m.open--
	s := c.senders[r.Client]
	switch r.Kind {
	case Err:
		s.tried = r.At
		c.report.Errs[r.Code]++
		c.judgeRefusal(m)
	case Unknown:
		s.tried = r.At
		c.report.Errs[cmp.Or(r.Code, chat.CodeUnknown)]++
		m.unknown = true
	case OK:
		s.oks = append(s.oks, r.At)
		if !m.acked {
			m.acked, m.ackedAt = true, r.At
			c.report.Acked++
		}
		c.place(m, r.Seq, "its sender")
	}
}

// place takes a message's seq from whoever is told it first, and wants the others to be told the same.
func (c *Checker) place(m *message, seq chat.Seq, who string) {
	switch {
	case seq == 0:
	case m.seq == 0:
		m.seq = seq
	case m.seq != seq && !m.doubtful:
		m.doubtful = true
		c.report.problem(&c.report.Unexpected, "%.80q to %q is %d, and %s was told %d", m.text, m.to, m.seq, who, seq)
	}
}

// judgeRefusal wants what nobody was given as long as all its attempts were refused.
func (c *Checker) judgeRefusal(m *message) {
	if m.given && !m.mayBeStored() && !m.resurrected {
		m.resurrected = true
		c.report.problem(&c.report.Resurrected, "%.80q to %q was refused, and delivered all the same", m.text, m.to)
	}
}

func (c *Checker) delivery(r Record) {
	report := &c.report
	d, m := c.devices[r.Client], c.messages[r.Text]
	switch {
	case d == nil:
		report.problem(&report.Unexpected, "%s was given %.80q and is not announced", r.Client, r.Text)
		return
	case m == nil:
		report.problem(&report.Unexpected, "%s was given %.80q, which nobody sent", d.name, r.Text)
		return
	case !d.entitled(m):
		report.problem(&report.Leaked, "%s, of %s, was given %.80q from %s to %q", d.name, d.user, m.text, m.from, m.to)
		return
	case r.From != m.from, r.To != "" && r.To != m.to:
		report.problem(&report.Unexpected, "%s was given %.80q from %s to %q; %s sent it to %q", d.name, m.text, r.From, r.To, m.from, m.to)
	default:
		c.place(m, r.Seq, d.name)
	}
	m.given = true
	c.judgeRefusal(m)
	c.take(d, m, r)
}

// take notes what a delivery means to the device.
func (c *Checker) take(d *device, m *message, r Record) {
	before := d.state(m)
	if before&came != 0 {
		c.report.DuplicatedOnWire++
	}
	d.note(m, came)
	if r.Hidden {
		return
	}
	c.report.Delivered++
	switch {
	case before&shown == 0:
		d.note(m, shown)
		d.shown = append(d.shown, m)
	case d.version == 1:
		d.repeats = append(d.repeats, repeat{m, r.At})
	default:
		c.report.problem(&c.report.Duplicated, "%s was shown %.80q twice", d.name, m.text)
	}
}

// entitled says whether a message is for the device: a broadcast is for everyone but its sender.
func (d *device) entitled(m *message) bool {
	if m.to == chat.Everyone {
		return d.user != m.from
	}
	return d.user.Mailbox() == m.to
}

func (d *device) state(m *message) state {
	if m.number >= len(d.states) {
		return 0
	}
	return d.states[m.number]
}

func (d *device) note(m *message, s state) {
	if more := m.number + 1 - len(d.states); more > 0 {
		d.states = append(d.states, make([]state, more)...)
	}
	d.states[m.number] |= s
}
