package checker_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"multichat/internal/chat"
	"multichat/internal/checker"
)

func TestASoundRunIsGreen(t *testing.T) {
	for seed := range uint64(12) {
		r := soundRun(seed)
		got := r.judge()
		if err := got.Err(); err != nil {
			t.Errorf("seed %d: %v\n%s", seed, err, got.String())
		}
		if len(got.Longest) != got.Clients || len(got.Gaps) == 0 || got.RateBefore < 100 {
			t.Errorf("seed %d: longest %v, gaps %v, rate %f", seed, got.Longest, got.Gaps, got.RateBefore)
		}
		got.Longest, got.Gaps, got.RateBefore = nil, nil, 0
		if diff := cmp.Diff(r.want, got); diff != "" {
			t.Errorf("seed %d: (-want +got)\n%s", seed, diff)
		}
	}
}

// Each fault is planted into a sound run. It is called by its name, and nothing else in the report changes.
func TestPlantedFaults(t *testing.T) {
	sounds := []*run{soundRun(1), soundRun(2)}
	for _, tc := range []struct {
		name  string
		plant func(t *testing.T, r *run, want *checker.Report)
		err   string
	}{
		{"a direct message is lost", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			want.Delivered -= r.drop(checker.Delivery, m.text, "")
			want.Lost = 2
		}, "lost 2"},
		{"a broadcast is lost on one device", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, late, byBobToAll)
			want.Delivered -= r.drop(checker.Delivery, m.text, "alice-2")
			want.Lost = 1
		}, "lost 1"},
		{"a message that was unknown is given to some", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, recovered, byBobToAll)
			want.Delivered -= r.drop(checker.Delivery, m.text, "alice-1")
			want.Lost = 1
		}, "lost 1"},
		{"a message is hidden, as if it had been shown", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.Delivery, m.text, "bob-2")
			r.records[i].Hidden = true
			r.insert(i, r.records[i])
			want.Delivered--
			want.DuplicatedOnWire++
			want.Lost = 1
		}, "lost 1"},
		{"a message is shown twice", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.Delivery, m.text, "bob-1")
			r.insert(i, r.records[i])
			want.Delivered++
			want.DuplicatedOnWire++
			want.Duplicated = 1
		}, "shown twice 1"},
		{"a message is stored twice, and each reader is given one of the two", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, byBobToAll)
			r.change(t, checker.Delivery, m.text, "alice-1").Seq += 500 * chat.MaxShards
			r.change(t, checker.Delivery, m.text, "dave-1").Seq += 500 * chat.MaxShards
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a message is stored twice, and shown under both seqs", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, resent, toBob)
			i := r.at(t, checker.Delivery, m.text, "bob-1")
			r.insert(i, r.records[i])
			r.records[i+1].Seq += chat.MaxShards
			want.Delivered++
			want.DuplicatedOnWire++
			want.Duplicated, want.Unexpected = 1, 1
		}, "shown twice 1, unexpected 1"},
		{"version 1 is shown something again in peace", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, func(m *sent) bool { return m.to == "carol" && m.at < faults[0].begin-time.Second })
			i := r.at(t, checker.Delivery, m.text, "carol-1")
			r.insert(i, r.records[i])
			want.Delivered++
			want.DuplicatedOnWire++
			want.RepeatedInPeace = 1
		}, "repeated in peace (version 1) 1"},
		{"version 1 is shown something again when faults are long over", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, func(m *sent) bool { return m.to == "carol" })
			again := *r.change(t, checker.Delivery, m.text, "carol-1")
			i := r.firstAfter(19500 * ms)
			r.insert(i-1, again)
			r.records[i].At = 19500 * ms
			want.Delivered++
			want.DuplicatedOnWire++
			want.RepeatedInPeace = 1
		}, "repeated in peace (version 1) 1"},
		{"version 2 is shown the later of two first", func(t *testing.T, r *run, want *checker.Report) {
			r.later(r.twoShowings(t, "bob-2", chat.Everyone))
			want.Reordered = 1
		}, "reordered 1"},
		{"version 1 is shown the later of two first", func(t *testing.T, r *run, want *checker.Report) {
			r.later(r.twoShowings(t, "carol-1", "carol"))
			want.Reordered = 1
		}, "reordered 1"},
		{"a stream's messages are stored in another order", func(t *testing.T, r *run, want *checker.Report) {
			r.swapBurst(t, "bob-1")
			want.Reordered = 1
		}, "reordered 1"},
		{"a message is stored below one that was acknowledged before", func(t *testing.T, r *run, want *checker.Report) {
			a, b := r.twoToErin(t)
			ok, later := r.change(t, checker.OK, a.text, ""), r.change(t, checker.OK, b.text, "")
			ok.Seq, later.Seq = later.Seq, ok.Seq
			want.Reordered = 1
		}, "reordered 1"},
		{"a text is changed on the way", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, byBobToAll)
			r.change(t, checker.Delivery, m.text, "carol-1").Text += "\n"
			want.Delivered--
			want.Lost, want.Unexpected = 1, 1
		}, "lost 1, unexpected 1"},
		{"the sender's name is changed", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, byBobToAll)
			r.change(t, checker.Delivery, m.text, "carol-1").From = "alice"
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a direct message comes as a broadcast", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			r.change(t, checker.Delivery, m.text, "bob-1").To = chat.Everyone
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a text that nobody sent", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.Delivery, m.text, "bob-1")
			r.insert(i, r.records[i])
			r.records[i+1].Text = "buy now"
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a text that is sent later", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			d := *r.change(t, checker.Delivery, m.text, "bob-1")
			r.insert(r.at(t, checker.Attempt, m.text, "")-1, d)
			want.Unexpected = 1
		}, "unexpected 1"},
		{"an ack tells another seq", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, byBobToAll)
			r.change(t, checker.OK, m.text, "").Seq += 900 * chat.MaxShards
			want.Unexpected = 1
		}, "unexpected 1"},
		{"two messages have one seq", func(t *testing.T, r *run, want *checker.Report) {
			a, b := r.twoToErin(t)
			c := r.find(t, clean, func(m *sent) bool { return m.to == "erin" && m.at > b.at+100*ms })
			r.change(t, checker.OK, c.text, "").Seq = r.change(t, checker.OK, a.text, "").Seq
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a refused message is delivered", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, refused, toBob)
			i := r.at(t, checker.Err, m.text, "")
			r.insert(i, checker.Record{Kind: checker.Delivery, Client: "bob-2", User: "bob", Text: m.text, From: m.by.User, To: "bob"})
			want.Delivered++
			want.Refused--
			want.Resurrected = 1
		}, "resurrected 1"},
		{"a message is delivered, and then refused", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, recovered, toBob)
			end := r.at(t, checker.Unknown, m.text, "")
			r.records[end].Kind, r.records[end].Code = checker.Err, chat.CodeUnavail
			r.later(end, max(r.at(t, checker.Delivery, m.text, "bob-1"), r.at(t, checker.Delivery, m.text, "bob-2")))
			want.Errs[chat.CodeUnknown]--
			want.Errs[chat.CodeUnavail]++
			want.Recovered--
			want.Resurrected = 1
		}, "resurrected 1"},
		{"a refused message is delivered, and acknowledged when it is sent again", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, late, byBobToAll)
			i := r.at(t, checker.Attempt, m.text, "")
			attempt, refusal := r.records[i], r.records[i]
			refusal.Kind, refusal.Code = checker.Err, chat.CodeBusy
			r.insert(i, refusal)
			r.insert(r.at(t, checker.OK, m.text, "")-1, attempt)
			want.Errs[chat.CodeBusy]++
			want.Resurrected = 1
		}, "resurrected 1"},
		{"a direct message is given to another user too", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.Delivery, m.text, "bob-1")
			r.insert(i, r.records[i])
			r.records[i+1].Client, r.records[i+1].User = "alice-1", "alice"
			want.Leaked = 1
		}, "leaked 1"},
		{"a direct message is given to another user, as if it were that one's", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			d := r.change(t, checker.Delivery, m.text, "bob-1")
			d.Client, d.User, d.To = "alice-1", "alice", "alice"
			want.Delivered--
			want.Leaked, want.Lost = 1, 1
		}, "lost 1, leaked 1"},
		{"a broadcast comes back to its sender's other device", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, byBobToAll)
			i := r.at(t, checker.Delivery, m.text, "alice-1")
			r.insert(i, r.records[i])
			r.records[i+1].Client, r.records[i+1].User = "bob-2", "bob"
			want.Leaked = 1
		}, "leaked 1"},
		{"a send is never answered", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, refused, toBob)
			want.Errs[chat.CodeBusy] -= r.drop(checker.Err, m.text, "")
			want.Refused--
			want.Stuck = 1
		}, "stuck 1"},
		{"a repeated send is never answered", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			r.insert(r.at(t, checker.OK, m.text, ""), r.records[r.at(t, checker.Attempt, m.text, "")])
			want.Stuck = 1
		}, "stuck 1"},
		{"a send is answered twice", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.OK, m.text, "")
			r.insert(i, r.records[i])
			want.Unexpected = 1
		}, "unexpected 1"},

		// What the clients did wrong.
		{"two clients send one text", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.Attempt, m.text, "")
			r.insert(i, r.records[i])
			r.records[i+1].Client = "somebody"
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a reader is not announced", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.Delivery, m.text, "bob-1")
			r.insert(i, r.records[i])
			r.records[i+1].Client = "bob-9"
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a reader is announced twice", func(t *testing.T, r *run, want *checker.Report) {
			r.insert(len(r.records)/4, r.records[0])
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a fault ends that did not begin", func(t *testing.T, r *run, want *checker.Report) {
			r.insert(len(r.records)/4, checker.Record{Kind: checker.FaultEnd, Fault: "kill", Target: "proxy-1"})
			want.Unexpected = 1
		}, "unexpected 1"},
		{"a fault ends twice", func(t *testing.T, r *run, want *checker.Report) {
			i := r.firstAfter(faults[0].end)
			r.insert(i, r.records[i])
			want.Unexpected = 1
		}, "unexpected 1"},
		{"an unknown record", func(t *testing.T, r *run, want *checker.Report) {
			r.insert(len(r.records)/4, checker.Record{Kind: "rumour"})
			want.Unexpected = 1
		}, "unexpected 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed, sound := range sounds {
				r, want := sound.copy(), sound.judge()
				tc.plant(t, r, &want)
				got := r.judge()
				if err := got.Err(); err == nil || err.Error() != "promises were broken: "+tc.err {
					t.Errorf("seed %d: got %v, want %q", seed, err, tc.err)
				}
				if diff := cmp.Diff(want, got, exceptProblems); diff != "" {
					t.Errorf("seed %d: (-want +got)\n%s%q", seed, diff, got.Problems)
				}
				if len(got.Problems) != want.Lost+want.Duplicated+want.RepeatedInPeace+want.Reordered+want.Unexpected+want.Resurrected+
					want.Leaked+want.Stuck {
					t.Errorf("seed %d: %d problems are told: %q", seed, len(got.Problems), got.Problems)
				}
			}
		})
	}
}

var exceptProblems = cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Problems" }, cmp.Ignore())

// What may be is counted, and is no fault.
func TestWhatIsAllowed(t *testing.T) {
	sounds := []*run{soundRun(1), soundRun(2)}
	for _, tc := range []struct {
		name  string
		plant func(t *testing.T, r *run, want *checker.Report)
	}{
		{"nobody is given what nobody knows", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, recovered, byBobToAll)
			want.Delivered -= r.drop(checker.Delivery, m.text, "")
			want.Recovered--
			want.Unknown++
		}},
		{"more repetitions on the wire", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, toBob)
			i := r.at(t, checker.Delivery, m.text, "bob-1")
			for range 3 {
				r.insert(i, r.records[i])
				r.records[i+1].Hidden = true
			}
			want.DuplicatedOnWire += 3
		}},
		{"version 1 is shown something again around a fault", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, func(m *sent) bool { return m.to == "carol" })
			again := *r.change(t, checker.Delivery, m.text, "carol-1")
			r.insert(r.firstAfter(faults[0].begin)+1, again)
			want.Delivered++
			want.DuplicatedOnWire++
			want.Repeated++
		}},
		{"what a client sends again by itself is stored in another order", func(t *testing.T, r *run, want *checker.Report) {
			r.swapBurst(t, "dave-1")
		}},
		{"a refused message is stored behind later ones", func(t *testing.T, r *run, want *checker.Report) {
			m := r.swapBurst(t, "bob-1")
			i := r.at(t, checker.Attempt, m.text, "")
			attempt, refusal := r.records[i], r.records[i]
			refusal.Kind, refusal.Code = checker.Err, chat.CodeBusy
			r.insert(i, refusal)
			r.insert(i+1, attempt)
			want.Errs[chat.CodeBusy]++
		}},
		{"version 1 sends two at once, and they are stored in another order", func(t *testing.T, r *run, want *checker.Report) {
			a := r.find(t, clean, func(m *sent) bool { return m.by.Client == "alice-2" && m.to == "bob" })
			b := r.find(t, clean, func(m *sent) bool { return m.by == a.by && m.to == a.to && m.at > a.at })
			i := r.at(t, checker.Attempt, b.text, "")
			attempt := r.records[i]
			r.records = slices.Delete(r.records, i, i+1)
			r.insert(r.at(t, checker.Attempt, a.text, "")-1, attempt)
		}},
		{"a message is acknowledged again when it is sent again", func(t *testing.T, r *run, want *checker.Report) {
			m := r.find(t, clean, func(m *sent) bool { return m.at > faults[0].begin })
			i := r.at(t, checker.OK, m.text, "")
			r.insert(i, r.records[i])
			r.insert(i, r.records[r.at(t, checker.Attempt, m.text, "")])
		}},
		{"an ack does not tell the seq", func(t *testing.T, r *run, want *checker.Report) {
			r.change(t, checker.OK, r.find(t, clean, toBob).text, "").Seq = 0
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed, sound := range sounds {
				r, want := sound.copy(), sound.judge()
				tc.plant(t, r, &want)
				got := r.judge()
				if err := got.Err(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("seed %d: (-want +got)\n%s", seed, diff)
				}
			}
		})
	}
}

// Whichever showing is missing, that is noticed.
func TestNoShowingIsMissedUnnoticed(t *testing.T) {
	sound := soundRun(4)
	again := make(map[string]bool)
	for _, m := range sound.sent {
		again[m.text] = m.again || m.fate == recovered // which nobody else may have been given
	}
	for i := 0; i < len(sound.records); i += 199 {
		if d := sound.records[i]; d.Kind != checker.Delivery || again[d.Text] {
			continue
		}
		r := sound.copy()
		r.records[i].Hidden = true
		d := r.records[i]
		announced := slices.IndexFunc(r.records, func(c checker.Record) bool { return c.Kind == checker.Device && c.Client == d.Client })
		if announced > r.at(t, checker.Attempt, d.Text, "") {
			continue // it need not have been shown
		}
		if got := r.judge(); got.Lost != 1 || got.Err() == nil {
			t.Errorf("without the showing of %q on %s: lost %d, %v", d.Text, d.Client, got.Lost, got.Err())
		}
	}
}

func toBob(m *sent) bool { return m.to == "bob" }

func byBobToAll(m *sent) bool { return m.to == chat.Everyone && m.by.User == "bob" }

// firstAfter is the index of the first record at a time or later.
func (r *run) firstAfter(at time.Duration) int {
	return slices.IndexFunc(r.records, func(c checker.Record) bool { return c.At >= at })
}

// twoShowings are two messages that a device was shown one after the other, of all in a mailbox.
func (r *run) twoShowings(t *testing.T, client string, mailbox chat.Mailbox) (i, j int) {
	t.Helper()
	byText := make(map[string]*sent)
	for _, m := range r.sent {
		byText[m.text] = m
	}
	came := make(map[*sent]bool)
	var before *sent
	for j, d := range r.records {
		m := byText[d.Text]
		if d.Kind != checker.Delivery || d.Client != client || m.to != mailbox || came[m] {
			continue
		}
		came[m] = true
		if before != nil && before.fate == clean && m.fate == clean && !before.again && !m.again {
			return i, j
		}
		i, before = j, m
	}
	t.Fatal("the history has no such two messages")
	return 0, 0
}

// swapBurst has a client send two messages of a burst in the other order. What is sent first is stored last; it is
// returned.
func (r *run) swapBurst(t *testing.T, client string) *sent {
	t.Helper()
	for _, b := range r.sent {
		if !b.burst || b.fate != clean || b.by.Client != client {
			continue
		}
		for _, a := range r.sent {
			if a.by == b.by && a.at == b.at-time.Microsecond && a.fate == clean {
				first, second := r.change(t, checker.Attempt, a.text, ""), r.change(t, checker.Attempt, b.text, "")
				first.Text, second.Text = second.Text, first.Text
				return b
			}
		}
	}
	t.Fatal("the history has no such burst")
	return nil
}

// twoToErin are two messages to erin, who never reads: of two clients, and the second was sent when the first had been
// acknowledged.
func (r *run) twoToErin(t *testing.T) (a, b *sent) {
	t.Helper()
	for _, m := range r.sent { // in the order stored
		if m.to != "erin" || m.seq == 0 {
			continue
		}
		a, b = b, m
		if a != nil && a.fate == clean && b.fate == clean && a.by != b.by && a.stored+ms < b.at {
			return a, b
		}
	}
	t.Fatal("the history has no such two messages")
	return nil, nil
}
