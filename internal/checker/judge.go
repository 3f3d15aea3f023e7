package checker

import (
	"cmp"
	"iter"
	"slices"

	"multichat/internal/chat"
)

// judge finds what only the whole run tells.
func (c *Checker) judge() {
	for _, m := range c.order {
		c.judgeMessage(m)
	}
	c.judgePlaces()
	c.judgeStoring()
	for _, d := range c.readers[chat.Everyone] {
		c.judgeShowing(d)
		c.judgeRepeats(d)
	}
}

func (c *Checker) judgeMessage(m *message) {
	r := &c.report
	r.Attempted++
	if m.open > 0 {
		r.problem(&r.Stuck, "%s never got an answer to %.80q, sent at %v", m.client, m.text, m.first)
	}
	switch {
	case m.acked, m.resurrected, m.open > 0:
	case m.unknown && m.given:
		r.Recovered++
	case m.unknown:
		r.Unknown++
	default:
		r.Refused++
	}
	for d := range c.missing(m) {
		r.problem(&r.Lost, "%s never got %.80q (%d) to %q, sent at %v", d.name, m.text, m.seq, m.to, m.first)
	}
}

// missing are the devices that must be shown a message and were not. What is not acknowledged has to be shown to all once
// it was given to one, unless it should not be there.
func (c *Checker) missing(m *message) iter.Seq[*device] {
	return func(yield func(*device) bool) {
		if !m.acked && (!m.given || !m.mayBeStored()) {
			return
		}
		for _, d := range c.readers[m.to] {
			if d.since <= m.first && d.state(m)&shown == 0 && d.entitled(m) && !yield(d) {
				return
			}
		}
	}
}

// judgePlaces wants no two messages of a mailbox to have the same seq.
func (c *Checker) judgePlaces() {
	type place struct {
		mailbox chat.Mailbox
		seq     chat.Seq
	}
	taken := make(map[place]*message)
	for _, m := range c.order {
		if !m.placed() {
			continue
		}
		p := place{m.to, m.seq}
		other := taken[p]
		if other == nil {
			taken[p] = m
			continue
		}
		m.doubtful, other.doubtful = true, true
		c.report.problem(&c.report.Unexpected, "%.80q and %.80q both are %d of %q", other.text, m.text, m.seq, m.to)
	}
}

// placed says whether a message's seq is known and not in doubt.
func (m *message) placed() bool { return m.seq != 0 && !m.doubtful }

// judgeStoring wants the seqs of each mailbox to rise as messages were sent: that of one that was first attempted when
// another was acknowledged is above the other's, and so is that of one that went out behind the other on one stream.
func (c *Checker) judgeStoring() {
	type way struct {
		client string
		to     chat.Mailbox
	}
	sent := make(map[way]*message)           // the highest by each way
	acked := make(map[chat.Mailbox]*message) // the highest that was acknowledged before what is looked at
	next := slices.DeleteFunc(slices.Clone(c.order), func(m *message) bool { return !m.placed() || !m.acked })
	slices.SortStableFunc(next, func(a, b *message) int { return cmp.Compare(a.ackedAt, b.ackedAt) })
	for _, m := range c.order {
		if !m.placed() {
			continue
		}
		for len(next) > 0 && next[0].ackedAt < m.first {
			acked[next[0].to] = higher(acked[next[0].to], next[0])
			next = next[1:]
		}
		before := acked[m.to]
		if c.keepsOrder(m) {
			w := way{m.client, m.to}
			before = higher(before, sent[w])
			sent[w] = higher(sent[w], m)
		}
		if before != nil && before.seq > m.seq {
			c.report.problem(&c.report.Reordered, "%.80q (%d) was sent after %.80q (%d) to %q, and is stored before it",
				m.text, m.seq, before.text, before.seq, m.to)
		}
	}
}

// keepsOrder says whether a message is stored in the order in which its client sent. That is promised to streams, but for
// what got an err in between; and what nobody knew was sent again later.
func (c *Checker) keepsOrder(m *message) bool {
	d := c.devices[m.client]
	return m.acked && m.attempts == 1 && d != nil && d.version == 2 && !d.resends
}

// higher is that of two messages with the larger seq. Either may be nil.
func higher(a, b *message) *message {
	if a == nil || b != nil && b.seq > a.seq {
		return b
	}
	return a
}

// judgeShowing wants what a device was shown to rise within each mailbox. Of what version 1 was given, others tell the
// seqs.
func (c *Checker) judgeShowing(d *device) {
	highest := make(map[chat.Mailbox]*message)
	for _, m := range d.shown {
		if !m.placed() {
			continue
		}
		if before := highest[m.to]; before != nil && before.seq > m.seq {
			c.report.problem(&c.report.Reordered, "%s was shown %.80q (%d) after %.80q (%d) to %q",
				d.name, m.text, m.seq, before.text, before.seq, m.to)
			continue
		}
		highest[m.to] = m
	}
}

// judgeRepeats wants what version 1 was shown again to have come around a fault.
func (c *Checker) judgeRepeats(d *device) {
	for _, repeat := range d.repeats {
		if c.aroundFault(repeat.at) {
			c.report.Repeated++
			continue
		}
		c.report.problem(&c.report.RepeatedInPeace, "%s, of version 1, was shown %.80q again at %v, and no fault was near",
			d.name, repeat.message.text, repeat.at)
	}
}
