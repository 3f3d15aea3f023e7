package checker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"multichat/internal/chat"
)

// Report is the verdict on a run. Counts are of messages unless they say otherwise.
type Report struct {
	Clients int `json:"clients"` // that sent
	Devices int `json:"devices"`

	Attempted int               `json:"attempted"`
	Acked     int               `json:"acked"`
	Refused   int               `json:"refused"`   // for certain, each time
	Unknown   int               `json:"unknown"`   // nobody knows, and never delivered
	Recovered int               `json:"recovered"` // nobody knows, and delivered
	Errs      map[chat.Code]int `json:"errs"`      // answers other than ok, by code; also those before an ok
	Delivered int               `json:"delivered"` // showings on devices

	// Not promised, and counted.
	DuplicatedOnWire int `json:"duplicated_on_wire"` // deliveries that repeat one
	Repeated         int `json:"repeated_v1"`        // showings on version 1 devices that repeat one, around faults

	// What must not be.
	Lost            int `json:"lost"`                 // pairs of a message and a device: acknowledged, or given to others, and never shown
	Duplicated      int `json:"duplicated"`           // showings on version 2 devices that repeat one
	RepeatedInPeace int `json:"repeated_v1_in_peace"` // showings on version 1 devices that repeat one, with no fault near
	Reordered       int `json:"reordered"`            // shown, or stored, after what comes behind it
	Unexpected      int `json:"unexpected"`           // nobody sent it so, or it is in two places, or two are in one; answers to nothing
	Resurrected     int `json:"resurrected"`          // given to somebody though all attempts so far were refused for certain
	Leaked          int `json:"leaked"`               // deliveries to whom it was not sent
	Stuck           int `json:"stuck"`                // an attempt was never answered

	RateBefore float64                  `json:"rate_before"` // acknowledged sends a second before the first fault
	Faults     int                      `json:"faults"`
	Longest    map[string]time.Duration `json:"longest"` // by client: the longest time without an acknowledged send
	Gaps       []Gap                    `json:"gaps"`
	Problems   []string                 `json:"problems"` // the first of each kind, in words
}

const (
	maxProblems = 10 // of a kind, in words

	// minRate is how many sends a second must have been acknowledged before the first fault. A run with less shows nothing.
	minRate = 50

	// faultTail is how long after a fault has ended something may still come of it.
	faultTail = 10 * time.Second

	// faultLead is how long before a fault the gap that it makes may have begun: a client does not send all the time.
	faultLead = 500 * time.Millisecond
)

// Report ends the run. It is called once.
func (c *Checker) Report() Report {
	c.judge()
	r := &c.report
	r.Clients, r.Devices, r.Faults = len(c.senders), len(c.devices), len(c.faults)
	r.RateBefore = c.rateBefore()
	for name, s := range c.senders {
		r.Longest[name] = s.longest(0, c.end)
	}
	r.Gaps = c.gaps()
	return *r
}

// problem counts something that must not be, and keeps the words of the first ones.
func (r *Report) problem(count *int, format string, args ...any) {
	if *count++; *count <= maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// rateBefore is the rate of acknowledged sends from the first attempt until the first fault or, if there is none, until the
// last acknowledgement.
func (c *Checker) rateBefore() float64 {
	begin, end := c.end, time.Duration(0)
	for _, s := range c.senders {
		begin = min(begin, s.begun)
		if len(s.oks) > 0 {
			end = max(end, s.oks[len(s.oks)-1])
		}
	}
	if len(c.faults) > 0 {
		end = c.faults[0].begin
	}
	if end <= begin {
		return 0
	}
	n := 0
	for _, s := range c.senders {
		before, _ := slices.BinarySearch(s.oks, end+1)
		n += before
	}
	return float64(n) / (end - begin).Seconds()
}

// ErrInvalid says that a run shows nothing: there was not enough traffic.
var ErrInvalid = errors.New("the run is invalid")

// Err is nil if the system has kept its promises, in a run that could have shown otherwise. What was broken counts also in
// one that could not.
func (r *Report) Err() error {
	var broken []string
	for _, count := range r.broken() {
		if count.n > 0 {
			broken = append(broken, fmt.Sprintf("%s %d", count.name, count.n))
		}
	}
	switch {
	case broken != nil:
		return fmt.Errorf("promises were broken: %s", strings.Join(broken, ", "))
	case r.RateBefore < minRate:
		return fmt.Errorf("%w: %.1f sends a second were acknowledged before the first fault, and %d are needed to show anything",
			ErrInvalid, r.RateBefore, minRate)
	case r.Delivered == 0:
		return fmt.Errorf("%w: nothing was shown on any device", ErrInvalid)
	}
	return nil
}

type count struct {
	name string
	n    int
}

func (r *Report) broken() []count {
	return []count{{"lost", r.Lost}, {"shown twice", r.Duplicated}, {"repeated in peace (version 1)", r.RepeatedInPeace},
		{"reordered", r.Reordered}, {"unexpected", r.Unexpected}, {"resurrected", r.Resurrected}, {"leaked", r.Leaked},
		{"stuck", r.Stuck}}
}

// String is the report for a person.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d clients attempted %d messages: acked %d, refused %d, unknown %d, recovered %d\n",
		r.Clients, r.Attempted, r.Acked, r.Refused, r.Unknown, r.Recovered)
	fmt.Fprintf(&b, "%d devices were shown %d: duplicated on the wire %d, repeated around faults (version 1) %d\n",
		r.Devices, r.Delivered, r.DuplicatedOnWire, r.Repeated)
	for i, count := range r.broken() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", count.name, count.n)
	}
	fmt.Fprintf(&b, "\n%d faults; before the first %.0f acknowledged sends a second\n", r.Faults, r.RateBefore)
	for _, code := range slices.Sorted(maps.Keys(r.Errs)) {
		fmt.Fprintf(&b, "answered %s: %d\n", cmp.Or(code, "without a code"), r.Errs[code])
	}
	fmt.Fprintf(&b, "longest without an acknowledged send: %s\n", r.longestOnes())
	for _, g := range r.Gaps {
		fmt.Fprintln(&b, g)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(&b, "-", p)
	}
	return b.String()
}

// longestOnes names the clients that went without an acknowledged send for longest.
func (r *Report) longestOnes() string {
	clients := slices.SortedFunc(maps.Keys(r.Longest), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Longest[b], r.Longest[a]), cmp.Compare(a, b))
	})
	var ones []string
	for _, client := range clients[:min(len(clients), 5)] {
		ones = append(ones, fmt.Sprintf("%s %.0f ms", client, milliseconds(r.Longest[client])))
	}
	return strings.Join(ones, ", ")
}
