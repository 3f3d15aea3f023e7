package checker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"multichat/internal/chat"
	"multichat/internal/checker"
)

// timeline has clients send at the times given, in milliseconds: a message that is acknowledged at once or, below zero, one
// whose outcome is unknown at -t.
type timeline map[string][]int

// judge has faults done to a timeline. c1 and c2 speak version 2, c3 speaks version 1.
func (l timeline) judge(faults ...checker.Record) checker.Report {
	r := &run{records: []checker.Record{
		{Kind: checker.Device, Client: "c1", User: "alice", Version: 2},
		{Kind: checker.Device, Client: "c2", User: "bob", Version: 2},
		{Kind: checker.Device, Client: "c3", User: "carol", Version: 1},
	}}
	seq := 0
	next := make(map[string]int)
	for at := range 10_001 {
		for len(faults) > 0 && faults[0].At <= time.Duration(at)*ms {
			r.records = append(r.records, faults[0])
			faults = faults[1:]
		}
		for _, d := range r.records[:3] {
			times := l[d.Client]
			if next[d.Client] == len(times) || max(times[next[d.Client]], -times[next[d.Client]]) != at {
				continue
			}
			seq++
			m := checker.Record{Kind: checker.Attempt, Client: d.Client, User: d.User, To: "dave", Text: chat.Seq(seq).String()}
			r.add(time.Duration(at)*ms, m)
			m.Kind, m.Seq = checker.OK, chat.Seq(seq)
			if times[next[d.Client]] < 0 {
				m.Kind, m.Seq = checker.Unknown, 0
			}
			r.add(time.Duration(at)*ms, m)
			next[d.Client]++
		}
	}
	return r.judge()
}

func begin(at int, kind, target string) checker.Record {
	return checker.Record{At: time.Duration(at) * ms, Kind: checker.FaultBegin, Fault: kind, Target: target}
}

func end(at int, kind, target string) checker.Record {
	return checker.Record{At: time.Duration(at) * ms, Kind: checker.FaultEnd, Fault: kind, Target: target}
}

func TestLongestTimeWithoutAnAck(t *testing.T) {
	for _, tc := range []struct {
		name  string
		times []int
		want  time.Duration
	}{
		{"one message", []int{500}, 0},
		{"between acks", []int{500, 600, 900, 950}, 300 * ms},
		{"before the first ack", []int{-100, -300, 700, 800}, 600 * ms},
		{"an unknown one between acks", []int{100, -300, 700, 800}, 600 * ms},
		{"after the last ack, while it still tries", []int{100, 200, -600, -900}, 700 * ms},
		{"never acknowledged", []int{-100, -200, -950}, 850 * ms},
	} {
		got := timeline{"c1": tc.times, "c2": {0, 5000}}.judge()
		if diff := cmp.Diff(map[string]time.Duration{"c1": tc.want, "c2": 5000 * ms}, got.Longest); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, diff)
		}
	}
}

// Who waits for an answer has not stopped sending.
func TestLongestTimeEndsWithAnAnswer(t *testing.T) {
	for _, answer := range []checker.Kind{checker.Err, checker.Unknown} {
		r := &run{}
		for i, kind := range []checker.Kind{checker.Attempt, checker.OK, checker.Attempt, answer} {
			r.add(time.Duration(100*i)*ms, checker.Record{Kind: kind, Client: "c1", User: "alice", To: "bob", Text: chat.Seq(i / 2).String()})
		}
		if got := r.judge(); got.Longest["c1"] != 200*ms {
			t.Errorf("%s: got %v, want %v", answer, got.Longest["c1"], 200*ms)
		}
	}
}

func TestRateBeforeTheFirstFault(t *testing.T) {
	l := timeline{"c1": {1000, 1500, 2000, -2500, 3500}, "c3": {1200, 3000, 5000}}
	for _, tc := range []struct {
		name   string
		faults []checker.Record
		want   float64
	}{
		{"a fault", []checker.Record{begin(3000, "kill", "server-1"), end(3100, "kill", "server-1")}, 5. / 2},
		{"two faults", []checker.Record{begin(2000, "kill", "server-1"), begin(3000, "stop", "server-2")}, 4.},
		{"no fault: to the last ack", nil, 7. / 4},
		{"a fault before all", []checker.Record{begin(900, "kill", "server-1")}, 0},
	} {
		if got := l.judge(tc.faults...); got.RateBefore != tc.want {
			t.Errorf("%s: got %f, want %f", tc.name, got.RateBefore, tc.want)
		}
	}
}

func TestGaps(t *testing.T) {
	l := timeline{
		"c1": {0, 900, 1400, 1500, 2000, 3000, 3100, 9100},
		"c2": {0, 1000, 1100, 1300, 1900, 2100, 2200, 4200, 9300},
		"c3": {950, 1800, 3500, 9000},
	}
	for _, tc := range []struct {
		name   string
		faults []checker.Record
		want   []checker.Gap
	}{
		{"none", nil, nil},
		{"one that is soon followed by another", []checker.Record{
			begin(1050, "kill", "server-1"), end(1200, "kill", "server-1"),
			begin(1450, "stop", "mysql-a-1"), end(1600, "stop", "mysql-a-1"),
			begin(1850, "end", "proxy-1"), end(1900, "end", "proxy-1"),
			begin(2050, "end", "proxy-2"), end(2150, "end", "proxy-2"),
		}, []checker.Gap{
			// proxy-1 has until 2050: c1 1000 (2000 to 3000), c2 600 (1300 to 1900), c3 1700
			// proxy-2 has until 12150: c1 6000, c2 5100, c3 5500
			{Fault: "end proxy", Version: 1, Faults: 2, Median: 5500 * ms, P99: 5500 * ms, Max: 5500 * ms},
			{Fault: "end proxy", Version: 2, Faults: 2, Median: 5100 * ms, P99: 6000 * ms, Max: 6000 * ms},
			// until 1450: c1 500 (900 to 1400), c2 600 (1300 to 1900), c3 850 (950 to 1800)
			{Fault: "kill server", Version: 1, Faults: 1, Median: 850 * ms, P99: 850 * ms, Max: 850 * ms},
			{Fault: "kill server", Version: 2, Faults: 1, Median: 600 * ms, P99: 600 * ms, Max: 600 * ms},
			// until 1850: c1 500 (1500 to 2000), c2 600 (1300 to 1900), c3 1700 (1800 to 3500)
			{Fault: "stop mysql-a", Version: 1, Faults: 1, Median: 1700 * ms, P99: 1700 * ms, Max: 1700 * ms},
			{Fault: "stop mysql-a", Version: 2, Faults: 1, Median: 600 * ms, P99: 600 * ms, Max: 600 * ms},
		}},
		{"two at once count both while they last", []checker.Record{
			begin(1450, "kill", "server-1"), begin(1450, "stop", "server-2"),
			end(2500, "kill", "server-1"), end(3050, "stop", "server-2"),
		}, []checker.Gap{
			// server-1 until 2500: c1 1000, c2 2000 (2200 to 4200), c3 1700
			{Fault: "kill server", Version: 1, Faults: 1, Median: 1700 * ms, P99: 1700 * ms, Max: 1700 * ms},
			{Fault: "kill server", Version: 2, Faults: 1, Median: 2000 * ms, P99: 2000 * ms, Max: 2000 * ms},
			// server-2 until 13050: c1 6000, c2 5100, c3 5500
			{Fault: "stop server", Version: 1, Faults: 1, Median: 5500 * ms, P99: 5500 * ms, Max: 5500 * ms},
			{Fault: "stop server", Version: 2, Faults: 1, Median: 6000 * ms, P99: 6000 * ms, Max: 6000 * ms},
		}},
		{"one that does not end", []checker.Record{begin(4500, "kill", "server-1")}, []checker.Gap{
			// c2 5100 (4200 to 9300); the gaps of the others had begun long before
			{Fault: "kill server", Version: 2, Faults: 1, Median: 5100 * ms, P99: 5100 * ms, Max: 5100 * ms},
		}},
		{"one after everybody has stopped", []checker.Record{begin(9500, "kill", "server-1"), end(9600, "kill", "server-1")}, nil},
	} {
		got := l.judge(tc.faults...)
		if diff := cmp.Diff(tc.want, got.Gaps); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, diff)
		}
	}
}
