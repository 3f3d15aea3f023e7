package server_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// A device acknowledges a seq and with it all below it. So the message that another server committed first must be
// given first, though this server does not know of it yet.
func TestCommitsOfAnotherServerAreNotOvertaken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		to      chat.Mailbox
		commits []string // by which server, in order, while a's reader sees nothing
		atOnce  []string // what a may give the device before its reader has looked
	}{
		{"another server was first", "bob", []string{"b1", "a2"}, nil},
		{"another server was between", "bob", []string{"a1", "b2", "a3"}, []string{"a1"}},
		{"another server was last", "bob", []string{"a1", "a2", "b3"}, []string{"a1", "a2"}},
		{"nobody else was there", "bob", []string{"a1", "a2", "a3"}, []string{"a1", "a2", "a3"}},
		{"broadcasts", chat.Everyone, []string{"b1", "a2", "b3", "a4"}, nil},
	} {
		t.Run(test.name, onBothEngines(1, func(t *testing.T, c *cluster) {
			c.addUsers("alice", "bob")
			a, b := c.serve(), c.serve()
			bob := newClient(t, "bob")
			bob.join(a)
			a.say("alice", test.to, "a0") // from here on a's position is the shard's newest
			bob.gets(a, "a0")
			want := []string{"a0"}

			release := a.store.hold(t, "Arrivals")
			var seqs []chat.Seq
			for _, text := range test.commits {
				want = append(want, text)
				seqs = append(seqs, map[byte]*node{'a': a, 'b': b}[text[0]].say("alice", test.to, text))
			}
			for range 3 {
				bob.poll(a)
				eventually(t, "the push ends", func() bool { return a.Pushing() == 0 })
			}
			if got := bob.texts()[1:]; !slices.Equal(got, test.atOnce) {
				t.Errorf("before the reader looked, bob got %q; want %q", got, test.atOnce)
			}
			release()
			bob.gets(a, want...)
			a.end()
			cur, _ := c.cursor("bob", bob.device())
			if last := seqs[len(seqs)-1]; max(cur.Inbox, cur.Broadcast) != last {
				t.Errorf("the cursor is at %+v, want %d", cur, last)
			}
		}))
	}
}

// journal is what became of the messages of a run.
type journal struct {
	mu     sync.Mutex
	stored map[chat.Mailbox]map[chat.Seq]chat.UserID // acknowledged to the sender: who sent it
	given  map[chat.UserID][]chat.Message            // to the user's device, in the order of its first arrivals
	seen   map[chat.UserID]map[chat.Seq]bool
	again  int // given more than once
}

func newJournal() *journal {
	return &journal{stored: make(map[chat.Mailbox]map[chat.Seq]chat.UserID), given: make(map[chat.UserID][]chat.Message),
		seen: make(map[chat.UserID]map[chat.Seq]bool)}
}

func (j *journal) sent(from chat.UserID, to chat.Mailbox, seq chat.Seq) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stored[to] == nil {
		j.stored[to] = make(map[chat.Seq]chat.UserID)
	}
	j.stored[to][seq] = from
}

func (j *journal) gave(user chat.UserID, messages []chat.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.seen[user] == nil {
		j.seen[user] = make(map[chat.Seq]bool)
	}
	for _, m := range messages {
		if j.seen[user][m.Seq] {
			j.again++
			continue
		}
		j.seen[user][m.Seq] = true
		j.given[user] = append(j.given[user], m)
	}
}

// missing is what a user should have been given and was not.
func (j *journal) missing(user chat.UserID) (seqs []chat.Seq) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, box := range []chat.Mailbox{user.Mailbox(), chat.Everyone} {
		for seq, from := range j.stored[box] {
			if !j.seen[user][seq] && !(box == chat.Everyone && from == user) {
				seqs = append(seqs, seq)
			}
		}
	}
	return seqs
}

// disorder tells of the messages that a user was given after later ones of the same mailbox, or should not have got.
func (j *journal) disorder(user chat.UserID) (problems []string) {
	newest := make(map[chat.Mailbox]chat.Seq)
	for _, m := range j.given[user] {
		switch {
		case m.To != user.Mailbox() && m.To != chat.Everyone:
			problems = append(problems, fmt.Sprintf("%d is %s's", m.Seq, m.To))
		case m.To == chat.Everyone && m.From == user:
			problems = append(problems, fmt.Sprintf("%d is an own broadcast", m.Seq))
		case m.Seq < newest[m.To]:
			problems = append(problems, fmt.Sprintf("%d of %s after %d", m.Seq, m.To, newest[m.To]))
		}
		newest[m.To] = max(newest[m.To], m.Seq)
	}
	return problems
}

// Users poll at one server after another, and all servers commit to the same shards, each a little late to learn of the
// others: whatever the order of events is, nothing is lost and nothing overtakes.
func TestNothingIsLostOrOvertakenWhileClientsMoveBetweenServers(t *testing.T) {
	const running = 4 * time.Second
	onBothEngines(2, func(t *testing.T, c *cluster) {
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
			n.store.on("Arrivals", late)
			n.store.on("Append", late)
			n.store.on("Bodies", late)
			nodes = append(nodes, n)
		}
		j := newJournal()
		end := time.After(running)
		stop, sentAll := make(chan struct{}), make(chan struct{})
		var sent atomic.Int64
		var senders, pollers sync.WaitGroup
		for i := range 6 * len(nodes) {
			senders.Go(func() {
				n, from := nodes[i%len(nodes)], users[i%len(users)]
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					default:
					}
					to := append([]chat.UserID{"%"}, users...)[rand.N(1+len(users))].Mailbox()
					seq, err := n.send(from, to, chat.MessageID(fmt.Sprint(i, " ", k)), "text")
					if err != nil {
						t.Errorf("%s to %s: %v", from, to, err)
						return
					}
					j.sent(from, to, seq)
					sent.Add(1)
				}
			})
		}
		for _, user := range users {
			pollers.Go(func() { pollInTurn(t, user, nodes, j, sentAll) })
		}
		<-end
		close(stop)
		senders.Wait()
		close(sentAll)
		pollers.Wait()
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

// pollInTurn is a user's one device, whose address is led to one server after another. When all is sent it polls on until
// nothing is missing.
func pollInTurn(t *testing.T, user chat.UserID, nodes []*node, j *journal, sentAll <-chan struct{}) {
	back := newClient(t, user)
	back.answers(func(ctx context.Context, p edge.Push) (edge.Receipt, error) {
		n := len(p.Messages)
		if rand.N(50) == 0 {
			n = rand.N(n + 1)
		}
		j.gave(user, p.Messages[:n])
		if rand.N(50) == 0 {
			return edge.Receipt{}, errors.New("the link breaks, and the receipt is lost")
		}
		return takes(n)(ctx, p)
	})
	at, ending := 0, false
	move, tick := time.NewTimer(0), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	var deadline <-chan time.Time
	for {
		select {
		case <-move.C:
			at = (at + 1) % len(nodes)
			move.Reset(500*time.Millisecond + rand.N(2*time.Second))
		case <-sentAll:
			sentAll, ending, deadline = nil, true, time.After(patience)
		case <-deadline:
			return
		case <-tick.C:
			back.poll(nodes[at])
		}
		if ending && len(j.missing(user)) == 0 {
			return
		}
	}
}

// A shard that refuses for a moment is tried again, and whoever sends meanwhile does not go by.
func TestWhatIsTriedAgainIsNotOvertaken(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.say("alice", "bob", "0")
		refusing := true // guarded by mu
		var mu sync.Mutex
		n.store.on("Append", func(_ context.Context, do func() error) error {
			mu.Lock()
			defer mu.Unlock()
			if refusing {
				return chat.Errorf(chat.CodeUnavail, "the shard refuses")
			}
			return do()
		})
		var group sync.WaitGroup
		want := []chat.MessageID{"0"}
		for i := 1; i <= 5; i++ {
			id := chat.MessageID(fmt.Sprint(i))
			tried := n.store.count("Append")
			group.Go(func() { n.say("alice", "bob", string(id)) })
			eventually(t, "the shard has refused again", func() bool { return n.store.count("Append") > tried+1 })
			want = append(want, id)
		}
		mu.Lock()
		refusing = false
		mu.Unlock()
		group.Wait()
		if got := idsOf(c.stored("bob")); !slices.Equal(got, want) {
			t.Errorf("stored: %q, want %q", got, want)
		}
	})(t)
}
