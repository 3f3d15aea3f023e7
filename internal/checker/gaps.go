package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// fault is something that was done to a part of the system.
type fault struct {
	kind, target string
	begin, end   time.Duration // end is -1 while it lasts
}

// name is the fault's kind: what was done, and to which kind of target; numbers tell targets of a kind apart.
func (f *fault) name() string {
	return f.kind + " " + strings.TrimRight(f.target, "-0123456789")
}

func (c *Checker) endFault(r Record) {
	for _, f := range slices.Backward(c.faults) {
		if f.target == r.Target && f.kind == r.Fault && f.end < 0 {
			f.end = r.At
			return
		}
	}
	c.report.problem(&c.report.Unexpected, "the end of a fault that had not begun: %s %s", r.Fault, r.Target)
}

// aroundFault says whether a fault can have had a part in what happened at a time.
func (c *Checker) aroundFault(at time.Duration) bool {
	return slices.ContainsFunc(c.faults, func(f *fault) bool {
		return at >= f.begin && (f.end < 0 || at <= f.end+faultTail)
	})
}

// Gap is the longest time that the clients of one version went without an acknowledged send, around each fault of one kind:
// while it lasts, and then until the next one begins or [faultTail] is over. Where faults overlap, it may count for each of them.
type Gap struct {
	Fault   string        `json:"fault"` // such as kill server
	Version int           `json:"version"`
	Faults  int           `json:"faults"`
	Median  time.Duration `json:"median"` // of each client at each fault
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
}

func (g Gap) String() string {
	return fmt.Sprintf("%-17s ×%-3d version %d: no acknowledged send for %7.0f ms (median), %7.0f ms (p99), %7.0f ms (longest)", g.Fault,
		g.Faults, g.Version, milliseconds(g.Median), milliseconds(g.P99), milliseconds(g.Max))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (c *Checker) gaps() (gaps []Gap) {
	type class struct {
		fault   string
		version int
	}
	found := make(map[class][]time.Duration)
	faults := make(map[string]int)
	for i, f := range c.faults {
		faults[f.name()]++
		until := c.until(i)
		for name, s := range c.senders {
			if gap := s.longest(f.begin, until); gap > 0 {
				k := class{f.name(), c.version(name)}
				found[k] = append(found[k], gap)
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(found), func(a, b class) int {
		return cmp.Or(cmp.Compare(a.fault, b.fault), cmp.Compare(a.version, b.version))
	})
	for _, k := range keys {
		all := found[k]
		slices.Sort(all)
		gaps = append(gaps, Gap{Fault: k.fault, Version: k.version, Faults: faults[k.fault],
			Median: all[len(all)/2], P99: all[len(all)*99/100], Max: all[len(all)-1]})
	}
	return gaps
}

// until is when the time ends in which gaps count for the i-th fault.
func (c *Checker) until(i int) time.Duration {
	f := c.faults[i]
	if f.end < 0 {
		return c.end
	}
	until := f.end + faultTail
	if i+1 < len(c.faults) {
		until = min(until, c.faults[i+1].begin)
	}
	return max(until, f.end)
}

// version is that of the protocol a client speaks; 0 if it does not read, and so was not announced.
func (c *Checker) version(client string) int {
	if d := c.devices[client]; d != nil {
		return d.version
	}
	return 0
}

// longest is a sender's longest time without an acknowledgement that began between from, or a moment before, and until; 0 if
// there is none. One that had begun earlier has another cause. It begins with the sender's first attempt and ends when it last tried: later there may have been nothing to
// send.
func (s *sender) longest(from, until time.Duration) (gap time.Duration) {
	last := s.begun
	take := func(next time.Duration) {
		if next >= from && last >= from-faultLead && last <= until {
			gap = max(gap, next-last)
		}
		last = next
	}
	for _, ok := range s.oks {
		take(ok)
	}
	take(s.tried)
	return gap
}
