package server_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
)

// answers are what became of submissions, by their texts. Each text is a message of its own.
type answers struct {
	n     *node
	mu    sync.Mutex
	codes map[string][]chat.Code
	seqs  map[string]chat.Seq
	all   sync.WaitGroup
}

func submitTo(n *node) *answers {
	return &answers{n: n, codes: make(map[string][]chat.Code), seqs: make(map[string]chat.Seq)}
}

// submit hands a message to the engine and does not wait.
func (a *answers) submit(to chat.Mailbox, text string, hold time.Duration) (giveUp func()) {
	a.all.Add(1)
	return a.n.Submit(submission("alice", to, text), time.Now().Add(hold), func(s chat.Stored) {
		a.mu.Lock()
		defer a.mu.Unlock()
		code := chat.Code("ok")
		if s.Err != nil {
			code = s.Err.Code
		}
		a.codes[text] = append(a.codes[text], code)
		a.seqs[text] = s.Seq
		if len(a.codes[text]) == 1 {
			a.all.Done()
		}
	})
}

// of is how one submission was answered; each answer once.
func (a *answers) of(text string) []chat.Code {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.codes[text])
}

// texts are the texts of a mailbox in their order.
func (c *cluster) texts(m chat.Mailbox) (texts []string) {
	for _, m := range c.stored(m) {
		texts = append(texts, string(m.Text))
	}
	return texts
}

// A stream does not wait for one answer before it sends the next message. Whatever the shard does, they are stored in the
// order in which they were sent.
func TestSubmissionsAreStoredInTheirOrder(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol")
		n := c.serve()
		n.store.on("Append", func(ctx context.Context, do func() error) error {
			switch rand.N(6) {
			case 0:
				return chat.Errorf(chat.CodeUnavail, "the shard refuses")
			case 1:
				return loseAnswers(ctx, do)
			}
			return do()
		})
		a := submitTo(n)
		const each = 60
		boxes := []chat.Mailbox{"bob", "carol", chat.Everyone}
		for i := range each {
			for _, to := range boxes {
				a.submit(to, fmt.Sprintf("%s %02d", to, i), patience)
			}
		}
		a.all.Wait()
		for _, to := range boxes {
			var want []string
			for i := range each {
				want = append(want, fmt.Sprintf("%s %02d", to, i))
			}
			if got := c.texts(to); !slices.Equal(got, want) {
				t.Errorf("stored: %q", got)
			}
			for _, m := range c.stored(to) {
				if text := string(m.Text); !slices.Equal(a.of(text), []chat.Code{"ok"}) || a.seqs[text] != m.Seq {
					t.Errorf("%q is stored as %d, and was answered %v, %d", text, m.Seq, a.of(text), a.seqs[text])
				}
			}
		}
		eventually(t, "nothing is kept of it", func() bool { return n.Lanes() == 0 && n.HeldBytes() == 0 })
	})(t)
}

// A commit that hangs, and does not even notice that its time is over, keeps nobody waiting for longer than was promised.
func TestTheDeadlineHoldsWhileACommitHangs(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		hanging, release := make(chan struct{}), make(chan struct{})
		n.store.on("Append", func(_ context.Context, do func() error) error {
			n.store.on("Append", nil)
			close(hanging)
			<-release
			return do()
		})
		a := submitTo(n)
		began := time.Now()
		a.submit("bob", "handed over", 300*time.Millisecond)
		<-hanging
		a.submit("bob", "waiting", 300*time.Millisecond)
		giveUp := a.submit("bob", "given up", patience)
		giveUp()
		a.submit("bob", "patient", time.Hour)
		eventually(t, "the first two are answered", func() bool {
			return len(a.of("handed over")) == 1 && len(a.of("waiting")) == 1
		})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the answers took %v; the deadline was after 0.3 s", took)
		}
		for text, want := range map[string]chat.Code{
			"handed over": chat.CodeUnknown, "waiting": chat.CodeUnavail, "given up": chat.CodeUnavail} {
			if got := a.of(text); !slices.Equal(got, []chat.Code{want}) {
				t.Errorf("what was %s was answered %v, want %s", text, got, want)
			}
		}
		close(release)
		a.all.Wait()
		got := c.texts("bob")
		if slices.Contains(got, "waiting") || slices.Contains(got, "given up") || !slices.Contains(got, "patient") {
			t.Errorf("stored: %q", got)
		}
		eventually(t, "nothing is kept of it", func() bool { return n.HeldBytes() == 0 })
		if again := a.of("handed over"); len(again) != 1 {
			t.Errorf("it was answered %v", again)
		}
	})(t)
}

// The deadline and the answer of the shard may come together: one of them is told, and it is true.
func TestADeadlineDuringTheCommitIsOneTrueAnswer(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.store.on("Append", func(_ context.Context, do func() error) error {
			time.Sleep(rand.N(2 * time.Millisecond)) // not to synchronise: the delay is the fault under test
			return do()
		})
		a := submitTo(n)
		const submissions = 400
		for i := range submissions {
			a.submit("bob", fmt.Sprint(i), rand.N(4*time.Millisecond))
			if i%8 == 0 {
				time.Sleep(rand.N(4 * time.Millisecond)) // so that some are first in their batch
			}
		}
		a.all.Wait()
		eventually(t, "nothing is under way", func() bool { return n.HeldBytes() == 0 })
		stored := c.texts("bob")
		count := make(map[chat.Code]int)
		for i := range submissions {
			text := fmt.Sprint(i)
			codes, isStored := a.of(text), slices.Contains(stored, text)
			if len(codes) != 1 || codes[0] == "ok" && !isStored || codes[0] == chat.CodeUnavail && isStored {
				t.Errorf("submission %d was answered %v; that it is stored is %v", i, codes, isStored)
			}
			count[codes[0]]++
		}
		t.Logf("answered: %v", count)
	})(t)
}

func TestWhatIsSubmittedAfterTheEndIsAnsweredAtOnce(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		held := n.store.prepareHold(t, "Append")
		a := submitTo(n)
		a.submit("bob", "under way", time.Hour)
		<-held.first
		a.submit("bob", "behind it", time.Hour)
		n.end()
		a.submit("bob", "too late", time.Hour)
		a.all.Wait()
		for text, want := range map[string][]chat.Code{"behind it": {chat.CodeUnavail}, "too late": {chat.CodeUnavail}} {
			if got := a.of(text); !slices.Equal(got, want) {
				t.Errorf("what was %s was answered %v, want %v", text, got, want)
			}
		}
		if n.HeldBytes() != 0 || n.Lanes() != 0 {
			t.Errorf("%d bytes for %d mailboxes are still held", n.HeldBytes(), n.Lanes())
		}
	})(t)
}

// move has the second shard serve all that the first did, or the other way round, in one transaction over both files.
func (c *cluster) move(from, to int) {
	c.t.Helper()
	db, err := sql.Open("sqlite", c.files[from]+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		if _, err := db.Exec(query, args...); err != nil {
			c.t.Fatalf("%s: %v", query, err)
		}
	}
	exec("ATTACH ? AS there", c.files[to])
	tx, err := db.Begin()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, table := range []string{"part", "users", "inbox", "cursor"} {
		for _, query := range []string{"INSERT INTO there.%s SELECT * FROM main.%[1]s", "DELETE FROM main.%s"} {
			if _, err := tx.Exec(fmt.Sprintf(query, table)); err != nil {
				c.t.Fatalf("%s %s: %v", query, table, err)
			}
		}
	}
	for _, query := range []string{
		"UPDATE there.shard SET counter = 1 + max(counter, (SELECT counter FROM main.shard)), map_epoch = map_epoch + 1",
		"UPDATE main.shard SET map_epoch = map_epoch + 1",
	} {
		if _, err := tx.Exec(query); err != nil {
			c.t.Fatalf("%s: %v", query, err)
		}
	}
	if err := tx.Commit(); err != nil {
		c.t.Fatal(err)
	}
}

func TestOrderHoldsWhileMailboxesMove(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol", "dave")
		n := c.serve()
		n.store.on("Append", func(_ context.Context, do func() error) error {
			time.Sleep(rand.N(2 * time.Millisecond)) // not to synchronise: so that some wait when their mailbox moves
			return do()
		})
		a := submitTo(n)
		boxes := []chat.Mailbox{"bob", "carol", "dave", chat.Everyone}
		var want []string
		var sending sync.WaitGroup
		sent := make(chan struct{})
		const each = 300
		for i := range each {
			want = append(want, fmt.Sprintf("%03d", i))
		}
		for _, to := range boxes {
			sending.Go(func() {
				for _, text := range want {
					a.submit(to, text+" "+string(to), 3*patience)
					time.Sleep(rand.N(2 * time.Millisecond))
				}
			})
		}
		go func() { sending.Wait(); close(sent) }()
		moves := 0
		for at := 0; ; at = 1 - at {
			select {
			case <-sent:
			case <-time.After(rand.N(100 * time.Millisecond)):
				c.move(at, 1-at)
				moves++
				continue
			}
			break
		}
		a.all.Wait()
		if err := c.ReadMap(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, to := range boxes {
			var got []string
			for _, text := range c.texts(to) {
				got = append(got, text[:3])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s has %q", to, got)
			}
			for _, text := range want {
				if codes := a.of(text + " " + string(to)); !slices.Equal(codes, []chat.Code{"ok"}) {
					t.Errorf("%s to %s was answered %v", text, to, codes)
				}
			}
		}
		if n.Lanes() != 0 || n.HeldBytes() != 0 {
			t.Errorf("%d lanes and %d bytes are still in memory", n.Lanes(), n.HeldBytes())
		}
		t.Logf("%d moves", moves)
	})(t)
}
