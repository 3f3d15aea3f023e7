package checker_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/checker"
)

// run is a history, and what is to be said of it.
type run struct {
	records []checker.Record
	sent    []*sent
	want    checker.Report // without rate, longest and gaps
}

// sent is a message of a run, and what became of it.
type sent struct {
	text   string
	by     *client
	to     chat.Mailbox
	fate   fate
	burst  bool // sent together with the one before it, to the same mailbox
	at     time.Duration
	stored time.Duration
	seq    chat.Seq // 0: not stored
	again  bool     // it came to a device a second time
}

type fate int

const (
	clean     fate = iota // attempted, acknowledged, and then given
	late                  // given before it is acknowledged
	retried               // refused, and then acknowledged
	resent                // unknown, and then acknowledged
	refused               // and not tried again
	recovered             // unknown, and stored
	vanished              // unknown, and not stored
	fates
)

// client is one that sends and reads.
type client struct {
	checker.Record                                // that announces it
	stored         time.Duration                  // when its last message was, or would have been
	given          map[chat.Mailbox]time.Duration // when it was given something last
}

const (
	ms     = time.Millisecond
	length = 10 * time.Second // of sending
	outage = 300 * ms         // from the beginning of the first two faults; nothing is stored then
)

// faults of a run. When the third comes, nobody sends any more.
var faults = []struct {
	kind, target string
	begin, end   time.Duration
}{
	{"kill", "server-2", 4 * time.Second, 5 * time.Second},
	{"stop", "mysql-1", 7 * time.Second, 9 * time.Second},
	{"kill", "server-1", 20 * time.Second, 21 * time.Second},
}

var users = []chat.UserID{"alice", "bob", "carol", "dave", "erin"} // erin never reads

// soundRun makes the history of a system that keeps its promises: clients of both versions, with several devices of a user, a
// device that comes later, all fates of messages, bursts, repetitions on the wire, and two faults in which nothing is stored
// for a while.
func soundRun(seed uint64) *run {
	r := &run{records: make([]checker.Record, 0, 40000), want: checker.Report{Errs: make(map[chat.Code]int)}}
	random := rand.New(rand.NewPCG(seed, 0))
	var clients []*client
	for _, d := range []checker.Record{
		{Client: "alice-1", User: "alice", Version: 2},
		{Client: "alice-2", User: "alice", Version: 1},
		{Client: "bob-1", User: "bob", Version: 2},
		{Client: "bob-2", User: "bob", Version: 2},
		{Client: "carol-1", User: "carol", Version: 1},
		{Client: "dave-1", User: "dave", Version: 2, Resends: true},
		{Client: "dave-2", User: "dave", Version: 2, At: 2 * time.Second},
	} {
		d.Kind = checker.Device
		r.add(d.At, d)
		clients = append(clients, &client{Record: d, given: make(map[chat.Mailbox]time.Duration)})
	}
	for _, f := range faults {
		r.add(f.begin, checker.Record{Kind: checker.FaultBegin, Fault: f.kind, Target: f.target})
		r.add(f.end, checker.Record{Kind: checker.FaultEnd, Fault: f.kind, Target: f.target})
	}
	r.want.Clients, r.want.Devices, r.want.Faults = len(clients), len(clients), len(faults)
	r.send(random, clients)
	r.store()
	for _, m := range r.sent {
		r.answer(m)
		r.deliver(random, m, clients)
	}
	slices.SortStableFunc(r.records, func(a, b checker.Record) int { return cmp.Compare(a.At, b.At) })
	return r
}

// send has the clients send, each in its own order. Those of version 1 wait for the answer.
func (r *run) send(random *rand.Rand, clients []*client) {
	for at := 5 * ms; at < length; at += 3 * ms {
		by := clients[random.IntN(len(clients))]
		if at < by.At || by.Version == 1 && at < by.stored+25*ms {
			continue
		}
		to := chat.Everyone
		if random.IntN(2) == 0 {
			to = users[random.IntN(len(users))].Mailbox()
		}
		burst := 1
		if by.Version == 2 && random.IntN(4) == 0 {
			burst = 2 + random.IntN(3)
		}
		for i := range burst {
			m := &sent{text: fmt.Sprintf("%s %d", by.Client, len(r.sent)), by: by, to: to, burst: i > 0}
			if random.IntN(3) == 0 {
				m.fate = fate(random.IntN(int(fates)))
			}
			m.at = at + time.Duration(i)*time.Microsecond
			m.stored = m.at + between(random, 7*ms, 15*ms)
			for _, f := range faults {
				if m.stored > f.begin && m.stored < f.begin+outage {
					m.stored = f.begin + outage
				}
			}
			m.stored = max(m.stored, by.stored+time.Microsecond)
			by.stored = m.stored
			r.sent = append(r.sent, m)
		}
	}
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}

// store gives seqs, in the order in which messages are stored.
func (r *run) store() {
	slices.SortStableFunc(r.sent, func(a, b *sent) int { return cmp.Compare(a.stored, b.stored) })
	for i, m := range r.sent {
		if m.fate != refused && m.fate != vanished {
			m.seq = chat.SeqAt(int64(i+1), 3)
		}
	}
}

// answer records a message's attempts and their outcomes.
func (r *run) answer(m *sent) {
	attempt := checker.Record{Kind: checker.Attempt, Client: m.by.Client, User: m.by.User, Text: m.text, To: m.to}
	answer := checker.Record{Client: m.by.Client, User: m.by.User, Text: m.text}
	ok, busy, unknown := answer, answer, answer
	ok.Kind, ok.Seq = checker.OK, m.seq
	busy.Kind, busy.Code = checker.Err, chat.CodeBusy
	unknown.Kind = checker.Unknown

	r.want.Attempted++
	r.add(m.at, attempt)
	switch m.fate {
	case clean:
		r.add(m.stored+ms, ok)
		r.want.Acked++
	case late:
		r.add(m.stored+20*ms, ok)
		r.want.Acked++
	case retried:
		r.add(m.at+5*ms, busy)
		r.add(m.at+6*ms, attempt)
		r.add(m.stored+ms, ok)
		r.want.Acked++
		r.want.Errs[chat.CodeBusy]++
	case resent:
		r.add(m.at+5*ms, unknown)
		r.add(m.at+6*ms, attempt)
		r.add(m.stored+5*ms, ok)
		r.want.Acked++
		r.want.Errs[chat.CodeUnknown]++
	case refused:
		r.add(m.stored, busy)
		r.want.Refused++
		r.want.Errs[chat.CodeBusy]++
	case recovered:
		r.add(m.stored+ms, unknown)
		r.want.Errs[chat.CodeUnknown]++ // whether it recovers is for deliver
	case vanished:
		r.add(m.stored+ms, unknown)
		r.want.Unknown++
		r.want.Errs[chat.CodeUnknown]++
	}
}

// deliver gives a message to whom it is for, and to some a second time.
func (r *run) deliver(random *rand.Rand, m *sent, clients []*client) {
	if m.seq == 0 {
		return
	}
	given := false
	for _, c := range clients {
		if m.to == chat.Everyone && c.User == m.by.User || m.to != chat.Everyone && m.to != c.User.Mailbox() || m.stored < c.At {
			continue
		}
		d := checker.Record{Kind: checker.Delivery, Client: c.Client, User: c.User, Text: m.text, From: m.by.User, To: m.to, Seq: m.seq}
		if c.Version == 1 {
			d.To, d.Seq = "", 0
		}
		c.given[m.to] = max(m.stored+between(random, 2*ms, 17*ms), c.given[m.to]+time.Microsecond)
		at := c.given[m.to]
		r.add(at, d)
		r.want.Delivered++
		given = true
		if random.IntN(10) > 0 || c.Version == 1 && at < faults[0].begin {
			continue
		}
		m.again = true
		r.want.DuplicatedOnWire++
		if c.Version == 1 {
			r.want.Delivered++
			r.want.Repeated++
		}
		d.Hidden = c.Version == 2
		r.add(at+between(random, 0, 100*ms), d)
	}
	switch {
	case m.fate == recovered && given:
		r.want.Recovered++
	case m.fate == recovered:
		r.want.Unknown++
	}
}

func (r *run) add(at time.Duration, record checker.Record) {
	record.At = at
	r.records = append(r.records, record)
}

func (r *run) judge() checker.Report {
	c := checker.New()
	for _, record := range r.records {
		c.Add(record)
	}
	return c.Report()
}

// copy is a run whose records can be changed.
func (r *run) copy() *run { return &run{records: slices.Clone(r.records), sent: r.sent} }

// find is the first message of a fate that is as is says. It came to nobody twice.
func (r *run) find(t *testing.T, f fate, is func(m *sent) bool) *sent {
	t.Helper()
	for _, m := range r.sent {
		if m.fate == f && !m.again && m.at > 2500*ms && is(m) {
			return m
		}
	}
	t.Fatal("the history has no such message")
	return nil
}

// at is the index of the first record of a kind about a text, at a client or at any.
func (r *run) at(t *testing.T, kind checker.Kind, text, client string) int {
	t.Helper()
	i := slices.IndexFunc(r.records, func(c checker.Record) bool {
		return c.Kind == kind && c.Text == text && (client == "" || c.Client == client)
	})
	if i < 0 {
		t.Fatalf("the history has no %s of %q at %s", kind, text, client)
	}
	return i
}

// change is where the first record of a kind about a text can be changed.
func (r *run) change(t *testing.T, kind checker.Kind, text, client string) *checker.Record {
	t.Helper()
	return &r.records[r.at(t, kind, text, client)]
}

// drop takes out all records of a kind about a text, at a client or at all, and says how many they were.
func (r *run) drop(kind checker.Kind, text, client string) int {
	before := len(r.records)
	r.records = slices.DeleteFunc(r.records, func(c checker.Record) bool {
		return c.Kind == kind && c.Text == text && (client == "" || c.Client == client)
	})
	return before - len(r.records)
}

// insert puts a record behind that with this index, at its time.
func (r *run) insert(behind int, record checker.Record) {
	record.At = r.records[behind].At
	r.records = slices.Insert(r.records, behind+1, record)
}

// later moves a record behind a later one.
func (r *run) later(i, behind int) {
	record := r.records[i]
	r.insert(behind, record)
	r.records = slices.Delete(r.records, i, i+1)
}
