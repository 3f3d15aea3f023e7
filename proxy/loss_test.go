package proxy

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
)

// commonStore is the shards as all servers see them: an id is stored once, and seqs grow.
type commonStore struct {
	mu     sync.Mutex
	newest chat.Seq
	stored map[string]chat.Seq
}

func (s *commonStore) store(call string) chat.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, ok := s.stored[call]
	if !ok {
		s.newest++
		seq = s.newest
		s.stored[call] = seq
	}
	return seq
}

func (s *commonStore) seqOf(call string) (chat.Seq, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, ok := s.stored[call]
	return seq, ok
}

// serveSlowly makes a server serve its streams as real ones do, until ended is closed: it answers later, in order, goes on
// after its link is lost, and pushes from alice's mailbox, which has a message for every seq up to mailEnd.
func serveSlowly(s *chatServer, store *commonStore, mailEnd chat.Seq, group *sync.WaitGroup, ended <-chan struct{}) {
	var mu sync.Mutex
	queues := make(map[*serverStream]chan func())
	s.login = func(st *serverStream) error {
		queue := make(chan func(), 4096)
		mu.Lock()
		queues[st] = queue
		mu.Unlock()
		group.Go(func() { workOff(queue, ended) })
		group.Go(func() { pushAll(st, mailEnd, ended) })
		return nil
	}
	s.take = func(st *serverStream, call string, ref uint64) {
		mu.Lock()
		queue := queues[st]
		mu.Unlock()
		queue <- func() {
			var seq chat.Seq
			if strings.HasPrefix(call, "send") {
				seq = store.store(call)
			}
			if ref != 0 {
				st.client.Answer(ref, seq, nil)
			}
		}
	}
}

func workOff(queue <-chan func(), ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case call := <-queue:
			time.Sleep(rand.N(ms / 3))
			call()
		}
	}
}

// pushAll gives the client everything that it was not given.
func pushAll(st *serverStream, to chat.Seq, ended <-chan struct{}) {
	from := chat.Seq(0)
	if st.login.TakeOver {
		from = max(0, st.login.Given.Inbox-rand.N(chat.Seq(5))) // a server may know less well what it need not push
	}
	for seq := from + 1; seq <= to; {
		select {
		case <-ended:
			return
		case <-time.After(rand.N(2 * ms)):
		}
		batch := min(1+rand.N(chat.Seq(3)), to-seq+1)
		var seqs []chat.Seq
		for i := range batch {
			seqs = append(seqs, seq+i)
		}
		if st.client.Deliver(mail("alice", seqs...)) {
			seq += batch
		}
	}
}

// Whatever happens to servers: each send gets one answer, what is answered ok is stored, in the order sent, and nothing
// is given twice or left out.
func TestNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	const clients, sends, mails, rounds = 10, 2000, 1500, 6
	store := &commonStore{stored: make(map[string]chat.Seq)}
	var working sync.WaitGroup
	ended := make(chan struct{})
	f := newFleet(t, 3, func(s *chatServer) { serveSlowly(s, store, mails, &working, ended) })
	defer working.Wait()
	defer close(ended)

	var all []*streamClient
	var sending sync.WaitGroup
	for i := range clients {
		c := f.open(t, from(someClients()[i]))
		all = append(all, c)
		sending.Go(func() { sendMany(t, c, i, sends) })
	}
	for i := range rounds {
		s := f.servers[i%3]
		told := make([]int, clients)
		for at, c := range all {
			told[at] = len(c.told())
		}
		if i%2 == 0 {
			s.relay.cut()
		} else {
			s.sendAway()
		}
		for at, c := range all { // what was unanswered then, is answered now: nothing is lost four times
			eventually(t, "the sends go on", func() bool { return len(c.told()) >= min(told[at]+window, sends) })
		}
	}
	sending.Wait()
	for i, c := range all {
		checkSends(t, i, c, store, sends)
		eventually(t, "all mail is there", func() bool { return len(c.seqs("alice")) >= mails })
		for at, seq := range c.seqs("alice") {
			if seq != chat.Seq(at+1) {
				t.Errorf("client %d was given %d as its message %d", i, seq, at+1)
				break
			}
		}
	}
	t.Logf("%v takeovers", f.takenOver("ok"))
	if f.takenOver("ok") < clients {
		t.Error("there were too few takeovers for this to say anything")
	}
}

// window is how many sends of a client are unanswered at most.
const window = 200

// sendMany sends as client i.
func sendMany(t *testing.T, c *streamClient, i, sends int) {
	for ref := 1; ref <= sends; ref++ {
		for deadline := time.Now().Add(patience); ref-len(c.told()) > window; time.Sleep(ms) {
			if time.Now().After(deadline) {
				t.Errorf("client %d: of %d sends, %d were answered", i, ref-1, len(c.told()))
				return
			}
		}
		c.Send(uint64(ref), messageTo("bob", fmt.Sprintf("m-%d-%d", i, ref)))
		if ref%10 == 0 {
			c.Ack(0, "alice", chat.Seq(ref))
		}
	}
}

// sendAway ends all the server's streams as it does before it ends itself.
func (s *chatServer) sendAway() {
	s.mu.Lock()
	streams := slices.Clone(s.streams)
	s.mu.Unlock()
	for _, st := range streams {
		st.client.End(nil)
	}
}

// checkSends checks the answers of client i, whose message with ref n has the id m-i-n.
func checkSends(t *testing.T, i int, c *streamClient, store *commonStore, sends int) {
	t.Helper()
	eventually(t, "all sends are answered", func() bool { return len(c.told()) >= sends })
	answers := make(map[int]string)
	for _, told := range c.told() {
		var ref int
		var outcome string
		fmt.Sscan(strings.Replace(told, "ok ", "ok=", 1), &ref, &outcome)
		if before, ok := answers[ref]; ok {
			t.Errorf("client %d: send %d was answered %s and %s", i, ref, before, outcome)
		}
		answers[ref] = outcome
	}
	var seqs []chat.Seq
	for ref := 1; ref <= sends; ref++ {
		seq, stored := store.seqOf(fmt.Sprintf("send %d m-%d-%d to bob: m-%d-%d", ref, i, ref, i, ref))
		if want := fmt.Sprint("ok=", seq); !stored || answers[ref] != want {
			t.Errorf("client %d: send %d was answered %q; stored: %v, as %d", i, ref, answers[ref], stored, seq)
		}
		seqs = append(seqs, seq)
	}
	if !slices.IsSortedFunc(seqs, cmp.Compare[chat.Seq]) {
		t.Errorf("client %d: the messages were not stored in the order sent", i)
	}
}
