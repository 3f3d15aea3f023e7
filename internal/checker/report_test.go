package checker_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"multichat/internal/chat"
	"multichat/internal/checker"
)

// Little traffic before the first fault shows nothing, unless something was broken even so.
func TestARunWithLittleTrafficIsInvalid(t *testing.T) {
	r := soundRun(1)
	kept := r.find(t, clean, toBob)
	without := make(map[string]bool)
	for i, m := range r.sent {
		without[m.text] = i%10 > 0 && m != kept
	}
	r.records = slices.DeleteFunc(r.records, func(c checker.Record) bool { return without[c.Text] })
	got := r.judge()
	if err := got.Err(); !errors.Is(err, checker.ErrInvalid) || got.RateBefore >= 50 {
		t.Errorf("got %v at a rate of %f, want %v", err, got.RateBefore, checker.ErrInvalid)
	}
	r.drop(checker.Delivery, kept.text, "")
	got = r.judge()
	if err := got.Err(); err == nil || errors.Is(err, checker.ErrInvalid) {
		t.Errorf("with a lost message: got %v, want that", err)
	}
}

func TestARunThatCouldShowNothingIsInvalid(t *testing.T) {
	alone := []checker.Record{{Kind: checker.Device, Client: "c1", User: "alice", Version: 2}}
	for i := range 100 {
		at, text := time.Duration(i)*ms, fmt.Sprint(i)
		alone = append(alone, checker.Record{At: at, Kind: checker.Attempt, Client: "c1", User: "alice", To: chat.Everyone, Text: text},
			checker.Record{At: at, Kind: checker.OK, Client: "c1", User: "alice", Text: text, Seq: chat.Seq(i + 1)})
	}
	for name, records := range map[string][]checker.Record{
		"nothing":                  nil,
		"nobody sends":             alone[:1],
		"nobody reads":             alone[1:],
		"nobody else reads":        alone,
		"a fault before all":       append([]checker.Record{{Kind: checker.FaultBegin, Fault: "kill", Target: "server-1"}}, alone...),
		"one message, at one time": alone[:3],
	} {
		got := (&run{records: records}).judge()
		if err := got.Err(); !errors.Is(err, checker.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, checker.ErrInvalid)
		}
	}
}

// A flood of one kind of fault does not hide the words of another.
func TestProblemsOfEachKindAreTold(t *testing.T) {
	r := soundRun(1)
	m := r.find(t, clean, toBob)
	i := r.at(t, checker.Delivery, m.text, "bob-1")
	leaked := r.records[i]
	leaked.Client, leaked.User = "alice-1", "alice"
	r.records = slices.DeleteFunc(r.records, func(c checker.Record) bool { return c.Kind == checker.Delivery })
	r.add(length*2, leaked)
	got := r.judge()
	if got.Lost < 1000 || len(got.Problems) != 11 {
		t.Errorf("lost %d, and %d problems are told: %q", got.Lost, len(got.Problems), got.Problems)
	}
	want := `alice-1, of alice, was given "` + m.text + `" from ` + string(m.by.User) + ` to "bob"`
	if !slices.Contains(got.Problems, want) {
		t.Errorf("%q is not told: %q", want, got.Problems)
	}
}

func TestWhatIsStillToCome(t *testing.T) {
	c := checker.New()
	want := func(waiting, acked, delivered int) {
		t.Helper()
		gotAcked, gotDelivered := c.Progress()
		if c.Waiting() != waiting || gotAcked != acked || gotDelivered != delivered {
			t.Errorf("%d waiting, %d acknowledged, %d shown; want %d, %d, %d", c.Waiting(), gotAcked, gotDelivered, waiting, acked, delivered)
		}
	}
	for i, client := range []string{"alice-1", "bob-1", "bob-2"} {
		c.Add(checker.Record{Kind: checker.Device, Client: client, User: []chat.UserID{"alice", "bob", "bob"}[i], Version: 2})
	}
	want(0, 0, 0)
	send := func(kind checker.Kind, text string) {
		c.Add(checker.Record{Kind: kind, Client: "alice-1", User: "alice", To: "bob", Text: text})
	}
	show := func(client, text string) {
		c.Add(checker.Record{Kind: checker.Delivery, Client: client, User: "bob", From: "alice", To: "bob", Text: text})
	}
	send(checker.Attempt, "one")
	want(1, 0, 0) // the answer
	send(checker.OK, "one")
	want(2, 1, 0) // bob's devices
	show("bob-1", "one")
	want(1, 1, 1)
	show("bob-2", "one")
	want(0, 1, 2)
	send(checker.Attempt, "two")
	send(checker.Unknown, "two")
	want(0, 1, 2) // perhaps it is not stored
	show("bob-2", "two")
	want(1, 1, 3) // it is
	send(checker.Attempt, "three")
	send(checker.Err, "three")
	want(1, 1, 3)
}

func TestTheReportInWords(t *testing.T) {
	r := checker.Report{
		Clients: 2, Devices: 3, Attempted: 10, Acked: 5, Refused: 1, Unknown: 2, Recovered: 2,
		Errs: map[chat.Code]int{chat.CodeBusy: 3, "": 1}, Delivered: 12, DuplicatedOnWire: 4, Repeated: 1, Lost: 1, Leaked: 2,
		RateBefore: 280.4, Faults: 7, Longest: map[string]time.Duration{"c1": 40 * ms, "c2": 1500 * ms},
		Gaps:     []checker.Gap{{Fault: "kill server", Version: 2, Faults: 7, Median: 60 * ms, P99: 900 * ms, Max: 1500 * ms}},
		Problems: []string{`c1 never got "hello"`},
	}
	want := `2 clients attempted 10 messages: acked 5, refused 1, unknown 2, recovered 2
3 devices were shown 12: duplicated on the wire 4, repeated around faults (version 1) 1
lost 1, shown twice 0, repeated in peace (version 1) 0, reordered 0, unexpected 0, resurrected 0, leaked 2, stuck 0
7 faults; before the first 280 acknowledged sends a second
answered without a code: 1
answered busy: 3
longest without an acknowledged send: c2 1500 ms, c1 40 ms
kill server       ×7   version 2: no acknowledged send for      60 ms (median),     900 ms (p99),    1500 ms (longest)
- c1 never got "hello"
`
	if diff := cmp.Diff(want, r.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
