package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/server"
)

func TestWhatAStreamSendsIsStoredInItsOrder(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		const sends = 1000
		c.addUsers("alice", "bob")
		n := c.serve()
		alice := n.stream("alice", "")
		texts := numbered(sends)
		var refs []uint64
		for _, text := range texts {
			refs = append(refs, alice.send("bob", text))
		}
		var last chat.Seq
		for _, ref := range refs {
			a := alice.answer(ref)
			if a.refusal != nil || a.seq <= last {
				t.Fatalf("call %d: at %d after %d, refused with %v", ref, a.seq, last, a.refusal)
			}
			last = a.seq
		}
		if got := idsOf(c.stored("bob")); len(got) != sends || !slices.IsSortedFunc(got, byNumber(texts)) {
			t.Errorf("%d are stored, not in the order sent", len(got))
		}
	})(t)
}

// byNumber compares ids by their places among texts.
func byNumber(texts []string) func(a, b chat.MessageID) int {
	place := make(map[chat.MessageID]int, len(texts))
	for i, text := range texts {
		place[chat.MessageID(text)] = i
	}
	return func(a, b chat.MessageID) int { return place[a] - place[b] }
}

func TestWhatMayNotBeSentIsAnsweredAndTheRestIsStored(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice := n.stream("alice", "")
		alice.say("bob", "first")
		for _, test := range []struct {
			name     string
			to       chat.Mailbox
			id, text string
			want     chat.Code
		}{
			{"to nobody", "nobody", "1", "text", chat.CodeNoUser},
			{"too long", "bob", "2", longText(0, chat.DefaultMaxText+1), chat.CodeTooLarge},
			{"with NUL", "bob", "3", "a\x00b", chat.CodeBadReq},
			{"an id that was used", "bob", "first", "another text", chat.CodeConflict},
			{"again", "bob", "first", "first", "ok"},
			{"as long as may be", "bob", "4", longText(0, chat.DefaultMaxText), "ok"},
		} {
			ref := alice.call(func(st edge.Stream, ref uint64) {
				st.Send(ref, edge.StreamMessage{ID: chat.MessageID(test.id), To: test.to, Text: []byte(test.text)})
			})
			if code := alice.answer(ref).code(); code != test.want {
				t.Errorf("%s: %s, want %s", test.name, code, test.want)
			}
		}
		if got := idsOf(c.stored("bob")); !slices.Equal(got, []chat.MessageID{"first", "4"}) {
			t.Errorf("stored are %q", got)
		}
	})(t)
}

// The limit is the user's, whichever way the messages come.
func TestWhatAUserSendsOnStreamsIsLimited(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve(func(cfg *server.Config) { cfg.UserSends, cfg.UserSendBurst = 1, 20 })
		streams := []*streamer{n.stream("alice", ""), n.stream("alice", "a")}
		codes := make(map[chat.Code]int)
		for i := range 60 {
			s := streams[i%2]
			codes[s.answer(s.send("bob", fmt.Sprint(i))).code()]++
		}
		if codes["ok"] < 20 || codes[chat.CodeBusy] < 20 || codes["ok"]+codes[chat.CodeBusy] != 60 {
			t.Errorf("answered %v", codes)
		}
		n.stream("bob", "b").say("alice", "not concerned")
	})(t)
}

// A device acknowledges a seq and with it all below it. So what another server committed first is given first, though this
// server does not know of it yet.
func TestStreamsGetNothingBeforeWhatAnotherServerCommittedEarlier(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		to      chat.Mailbox
		commits []string // by which server, in order, while a's reader sees nothing
		atOnce  int      // how many of them a may give before its reader has looked
	}{
		{"another server was first", "bob", []string{"b1", "a2"}, 0},
		{"another server was between", "bob", []string{"a1", "b2", "a3"}, 1},
		{"another server was last", "bob", []string{"a1", "a2", "b3"}, 2},
		{"nobody else was there", "bob", []string{"a1", "a2", "a3"}, 3},
		{"broadcasts", chat.Everyone, []string{"b1", "a2", "b3", "a4"}, 0},
	} {
		t.Run(test.name, onEveryKind(1, func(t *testing.T, c *cluster) {
			c.addUsers("alice", "bob")
			a, b := c.serve(), c.serve()
			bob := a.stream("bob", "b")
			a.say("alice", test.to, "a0") // from here on a's position is the shard's newest
			bob.gets("a0")
			release := a.store.hold(t, "Arrivals")
			for _, text := range test.commits {
				map[byte]*node{'a': a, 'b': b}[text[0]].say("alice", test.to, text)
			}
			bob.gets(append([]string{"a0"}, test.commits[:test.atOnce]...)...)
			release()
			bob.gets(append([]string{"a0"}, test.commits...)...)
		}))
	}
}

// Streams are at one server after another, and all servers commit to the same shards, each a little late to learn of the
// others: whatever the order of events is, nothing is lost and nothing overtakes.
func TestNothingIsLostOrOvertakenWhileStreamsMoveBetweenServers(t *testing.T) {
	const running = 4 * time.Second
	onEveryKind(2, func(t *testing.T, c *cluster) {
		users := []chat.UserID{"alice", "bob", "carol", "dave"}
		c.addUsers(users...)
		var nodes []*node
		for range 3 {
			n := c.serve()
			late := func(ctx context.Context, do func() error) error {
				time.Sleep(rand.N(20 * time.Millisecond)) // not to synchronise: the delay is the fault under test
				err := do()
				time.Sleep(rand.N(20 * time.Millisecond))
				return err
			}
			for _, method := range []string{"Arrivals", "Append", "Bodies", "Page"} {
				n.store.on(method, late)
			}
			nodes = append(nodes, n)
		}
		j := newJournal()
		stop := make(chan struct{})
		time.AfterFunc(running, func() { close(stop) })
		var sent atomic.Int64
		var senders, readers sync.WaitGroup
		sentAll := make(chan struct{})
		for i := range 2 * len(nodes) {
			senders.Go(func() { sent.Add(sendInTurn(t, i, nodes[i%len(nodes)], users, j, stop)) })
		}
		for _, user := range users {
			readers.Go(func() { streamInTurn(t, user, nodes, j, sentAll) })
		}
		senders.Wait()
		close(sentAll)
		readers.Wait()
		for _, user := range users {
			if missing := j.missing(user); len(missing) > 0 {
				slices.Sort(missing)
				t.Errorf("%s was never given %d messages, the first of them %d", user, len(missing), missing[0])
			}
			if problems := j.disorder(user); len(problems) > 0 {
				t.Errorf("%s was given %d messages that should not have come then, among them: %s", user, len(problems), problems[0])
			}
		}
		t.Logf("%d sent, %d given again", sent.Load(), j.again)
		if sent.Load() < 100 {
			t.Errorf("only %d messages were sent: too few to say anything", sent.Load())
		}
	})(t)
}

// sendInTurn sends to one user after another, some at a time, on one stream, until it is to stop.
func sendInTurn(
	t *testing.T, number int, n *node, users []chat.UserID, j *journal, stop <-chan struct{},
) (sent int64) {
	from := users[number%len(users)]
	s := n.stream(from, "")
	defer s.close()
	for k := 0; ; k++ {
		select {
		case <-stop:
			return sent
		default:
		}
		var refs []uint64
		to := append([]chat.UserID{"%"}, users...)[rand.N(1+len(users))].Mailbox()
		for i := range 10 {
			refs = append(refs, s.send(to, fmt.Sprint(number, " ", k, " ", i)))
		}
		for _, ref := range refs {
			a := s.answer(ref)
			if a.refusal != nil {
				t.Errorf("%s to %s: %v", from, to, a.refusal)
				return sent
			}
			j.sent(from, to, a.seq)
			sent++
		}
	}
}

// streamInTurn is a user's one device, whose stream is taken over by one server after another, or opened anew. When all is
// sent it stays until nothing is missing.
func streamInTurn(t *testing.T, user chat.UserID, nodes []*node, j *journal, sentAll <-chan struct{}) {
	at := rand.N(len(nodes))
	s := nodes[at].stream(user, "d")
	deadline := time.Now().Add(4 * time.Second).Add(patience)
	move := time.NewTicker(300 * time.Millisecond)
	defer move.Stop()
	noted := 0
	note := func() {
		messages := s.messages()
		j.gave(user, messages[noted:])
		noted = len(messages)
	}
	for time.Now().Before(deadline) {
		note()
		select {
		case <-move.C:
			at = (at + 1) % len(nodes)
			next := newStreamer(t, user, "d")
			if rand.N(2) == 0 {
				s.set(func(s *streamer) { s.full = true }) // what comes from the server before is not heard any more
				next = s.takeOver()
			}
			if err := next.open(nodes[at]); err != nil {
				t.Errorf("%s at server %d: %v", user, at, err)
				return
			}
			note()
			s.close()
			s, noted = next, 0
		case <-time.After(10 * time.Millisecond):
		case <-sentAll:
			if note(); len(j.missing(user)) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
