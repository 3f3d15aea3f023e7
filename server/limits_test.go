package server_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/server"
)

func TestAUserWhoSendsTooMuchIsBusy(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		const perSecond, burst, sends = 2, 10, 40
		n := c.serve(func(cfg *server.Config) { cfg.UserSends, cfg.UserSendBurst = perSecond, burst })
		n.say("alice", "bob", "the password is known now") // the first of the burst
		var stored, busy atomic.Int32
		var group sync.WaitGroup
		began := time.Now()
		for i := range sends {
			group.Go(func() {
				switch _, err := n.send("alice", "bob", chat.MessageID(fmt.Sprint(i)), "text"); codeOf(err) {
				case "ok":
					stored.Add(1)
				case chat.CodeBusy:
					busy.Add(1)
				default:
					t.Errorf("send %d: %v", i, err)
				}
			})
		}
		group.Wait()
		most := burst + int32(perSecond*time.Since(began).Seconds()) + 1
		if stored.Load() < burst-1 || stored.Load() > most {
			t.Errorf("%d were stored, want %d to %d", stored.Load(), burst-1, most)
		}
		if len(c.stored("bob")) != int(1+stored.Load()) || stored.Load()+busy.Load() != sends {
			t.Errorf("%d are in the mailbox, %d were stored and %d busy", len(c.stored("bob")), stored.Load(), busy.Load())
		}
		n.say("bob", "alice", "not concerned")
		eventually(t, "the user may send again", func() bool {
			_, err := n.send("alice", "bob", "later", "text")
			return err == nil
		})
	})(t)
}

// Where somebody guesses.
var guesser = edge.Caller{Addr: netip.MustParseAddr("198.51.100.7")}

// guess sends with wrong passwords from one address until no more are checked, and returns how many were.
func (n *node) guess(user chat.UserID) (checked int) {
	n.t.Helper()
	for ; checked < 1000; checked++ {
		switch code := n.sendFrom(guesser, user, fmt.Sprint("guess ", checked)); code {
		case chat.CodeAuth:
		case chat.CodeBusy:
			return checked
		default:
			n.t.Fatalf("guess %d was answered %s", checked, code)
		}
	}
	n.t.Fatal("guesses are not bounded")
	return 0
}

// serveGuessers starts a server at which an address may try some wrong passwords and then no more.
func (c *cluster) serveGuessers(guesses int) *node {
	n := c.serve(inCluster, func(cfg *server.Config) { cfg.GuessBurst = guesses })
	n.KeepGuesses()
	return n
}

func TestWrongPasswordsFromOneAddressAreBounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob", "carol")
	p := newProxy()
	c.serve(inCluster).sendBy(p, "carol")
	n := c.serveGuessers(3)
	n.say("bob", "bob", "verified")
	if got := n.guess("alice"); got != 3 {
		t.Errorf("%d wrong passwords were checked, want 3", got)
	}

	asked, release := n.HoldHashes()
	defer release()
	for name, user := range map[string]chat.UserID{"another user": "bob", "a user that does not exist": "mallory"} {
		if code := n.sendFrom(guesser, user, "guess"); code != chat.CodeBusy {
			t.Errorf("a guess at %s: %s, want busy", name, code)
		}
	}
	if code := n.sendFrom(guesser, "alice", passwordOf("alice")); code != chat.CodeBusy {
		t.Errorf("a right password that is not known to be: %s, want busy", code)
	}
	alice := newClient(t, "alice")
	alice.pollFrom(n, guesser)
	if n.drops("guesses_busy") != 1 {
		t.Error("a poll was not dropped, or not counted")
	}
	if code := n.sendFrom(guesser, "bob", passwordOf("bob")); code != "ok" {
		t.Errorf("a password that was verified before: %s", code)
	}
	carol := p.caller("carol")
	carol.Addr = guesser.Addr
	if code := n.sendFrom(carol, "carol", passwordOf("carol")); code != "ok" {
		t.Errorf("a ticket: %s", code)
	}
	if asked() != 0 {
		t.Errorf("%d hashes were asked for", asked())
	}
}

// Neither the user at whom somebody guesses nor others are kept out.
func TestGuessesFromOneAddressHurtNoOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serveGuessers(3)
	n.guess("alice")
	n.say("alice", "bob", "from elsewhere, with a password that nobody has checked yet")
	n.say("bob", "alice", "too")
	alice := newClient(t, "alice")
	alice.gets(n, "too")
}

// It would not matter that each guess is refused, if the answers told which users exist.
func TestGuessesAtUsersThatDoNotExistCountAsWell(t *testing.T) {
	t.Parallel()
	n := newCluster(t, 1).serveGuessers(3)
	if got := n.guess("mallory"); got != 3 {
		t.Errorf("%d wrong passwords were checked, want 3", got)
	}
}

// A client that nobody has told the new password polls on with the old one, once a second for ever. Its neighbours, who
// have the same address, must not suffer.
func TestAnOldPasswordThatIsPolledWithIsOneGuess(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serveGuessers(2)
	alice := newClient(t, "alice")
	alice.password = "old"
	for i := range 50 {
		alice.pollFrom(n, guesser)
		eventually(t, "the poll is refused", func() bool { return n.drops("auth") == i+1 })
	}
	if code := n.sendFrom(guesser, "bob", "guess"); code != chat.CodeAuth {
		t.Errorf("another wrong password from there: %s, want auth", code)
	}
	if code := n.sendFrom(guesser, "bob", passwordOf("bob")); code != chat.CodeBusy {
		t.Errorf("two wrong passwords are not counted as two: %s", code)
	}
}

func TestGuessesMayBeUnbounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	n := c.serveGuessers(-1)
	for i := range 3 * server.DefaultGuessBurst {
		if code := n.sendFrom(guesser, "alice", fmt.Sprint(i)); code != chat.CodeAuth {
			t.Fatalf("guess %d: %s, want auth", i, code)
		}
	}
}
