package server_test

import (
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
	"multichat/server"
)

// inCluster gives a server the key that all servers of a cluster have.
func inCluster(cfg *server.Config) {
	cfg.Key = chat.NewSecret(strings.Repeat("k", chat.ClusterKeyBytes))
}

// proxy keeps tickets, as a proxy does, and sends them along.
type proxy struct {
	mu    sync.Mutex
	kept  map[edge.Holder]chat.Secret
	given int
}

func newProxy() *proxy { return &proxy{kept: make(map[edge.Holder]chat.Secret)} }

// KeepTicket implements [edge.TicketKeeper].
func (p *proxy) KeepTicket(h edge.Holder, ticket chat.Secret) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[h] = ticket
	p.given++
}

// from is a call of a user by the proxy.
func (p *proxy) from(user chat.UserID, password string) edge.Caller {
	sum := sha256.Sum256([]byte(string(user) + ":" + password))
	h := edge.Holder(sum[:16])
	p.mu.Lock()
	defer p.mu.Unlock()
	return edge.Caller{Addr: anyCaller.Addr, Ticket: p.kept[h], Holder: h, Tickets: p}
}

// caller is a call of a user with the right password.
func (p *proxy) caller(user chat.UserID) edge.Caller { return p.from(user, passwordOf(user)) }

func (p *proxy) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.given
}

// sendFrom sends as a caller with a password, and returns the answer's code.
func (n *node) sendFrom(from edge.Caller, user chat.UserID, password string) chat.Code {
	_, err := n.Send(n.t.Context(), from, wire.Wrmsg{ID: chat.MessageID(time.Now().String()), User: user,
		Password: chat.NewSecret(password), To: user.Mailbox(), Text: []byte("text")})
	return codeOf(err)
}

// sendBy sends with the right password.
func (n *node) sendBy(p *proxy, user chat.UserID) {
	n.t.Helper()
	if code := n.sendFrom(p.caller(user), user, passwordOf(user)); code != "ok" {
		n.t.Errorf("%s was answered %s", user, code)
	}
}

func (c *client) pollFrom(n *node, from edge.Caller) {
	n.Poll(from, wire.Poll{User: []byte(c.user), Password: chat.NewSecret(c.password), Port: c.port}, c)
}

func TestATicketSparesTheNextServerTheHash(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	p := newProxy()
	c.serve(inCluster).sendBy(p, "alice")
	if p.times() != 1 {
		t.Fatalf("%d tickets for the first password", p.times())
	}
	t.Run("for a send", func(t *testing.T) {
		next := c.serve(inCluster)
		asked, release := next.HoldHashes()
		defer release()
		next.sendBy(p, "alice")
		next.sendWith("alice", passwordOf("alice")) // by no proxy: the password is known now
		if asked() != 0 || p.times() != 1 {
			t.Errorf("%d hashes were asked for, %d tickets given again", asked(), p.times()-1)
		}
	})
	t.Run("for a poll", func(t *testing.T) {
		next := c.serve(inCluster)
		asked, release := next.HoldHashes()
		defer release()
		alice := newClient(t, "alice")
		from := p.caller("alice")
		from.Addr = alice.addr
		eventually(t, "the poll is answered", func() bool {
			alice.pollFrom(next, from)
			return len(alice.texts()) > 0
		})
		if asked() != 0 || p.times() != 1 {
			t.Errorf("%d hashes were asked for, %d tickets given again", asked(), p.times()-1)
		}
	})
	t.Run("for a stream that is taken over", func(t *testing.T) {
		next := c.serve(inCluster)
		asked, release := next.HoldHashes()
		defer release()
		if err := next.AdmitByTicket(t.Context(), p.caller("alice"), "alice"); err != nil || asked() != 0 {
			t.Errorf("%v; %d hashes were asked for", err, asked())
		}
		// The proxy, too, may be another one when the user comes again: then the password comes without a ticket.
		if code := next.sendFrom(edge.Caller{Addr: anyCaller.Addr}, "alice", passwordOf("alice")); code != "ok" || asked() != 0 {
			t.Errorf("the password was answered %s afterwards; %d hashes were asked for", code, asked())
		}
	})
}

// The bytes of a poll are the next poll's when Poll returns.
func TestATicketOfAPollIsKeptWhileTheUserIsLookedUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	p := newProxy()
	c.serve(inCluster).sendBy(p, "alice")
	n := c.serve(inCluster)
	asked, release := n.HoldHashes()
	defer release()
	alice := newClient(t, "alice")
	from := p.caller("alice")
	from.Addr = alice.addr
	datagram := from.Ticket.AppendTo(nil)
	from.Ticket = chat.ViewSecret(datagram)
	users := n.store.prepareHold(t, "Users")
	alice.pollFrom(n, from)
	<-users.first
	clear(datagram)
	users.release()
	eventually(t, "the device is opened, or a hash asked for", func() bool {
		return asked() > 0 || n.store.count("OpenCursors") > 0
	})
	if asked() != 0 {
		t.Error("the ticket was not seen")
	}
}

func TestAProxyWithoutATicketIsGivenOne(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	n := c.serve(inCluster)
	first, second, third := newProxy(), newProxy(), newProxy()
	n.sendBy(first, "alice")
	n.sendBy(first, "alice")
	asked, release := n.HoldHashes()
	defer release()
	n.sendBy(second, "alice")
	alice := newClient(t, "alice")
	for range 3 { // the password is known, so each is done when Poll returns
		alice.pollFrom(n, third.caller("alice"))
	}
	for name, p := range map[string]*proxy{"the first": first, "a second": second, "one that was polled by": third} {
		if p.times() != 1 {
			t.Errorf("%s was given %d tickets, want one", name, p.times())
		}
		if !p.caller("alice").Ticket.Equal(first.caller("alice").Ticket) {
			t.Errorf("%s has a ticket of its own", name)
		}
	}
	if asked() != 0 {
		t.Errorf("%d hashes were asked for", asked())
	}
	if ticket, err := n.TicketFor(t.Context(), "alice"); err != nil || !ticket.Equal(first.caller("alice").Ticket) {
		t.Errorf("a stream is given another ticket, error %v", err)
	}
}

func TestAPollWhosePasswordWasHashedBringsATicket(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	n := c.serve(inCluster)
	p := newProxy()
	newClient(t, "alice").pollFrom(n, p.caller("alice"))
	eventually(t, "a ticket is given", func() bool { return p.times() == 1 })
}

func TestATicketIsRenewedWithoutAHash(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	p := newProxy()
	began := time.Now()
	c.serve(inCluster).sendBy(p, "alice")
	old := p.caller("alice").Ticket
	for _, test := range []struct {
		name    string
		after   time.Duration
		renewed bool
	}{
		{"in its first half", 25 * time.Minute, false},
		{"in its second half", 35 * time.Minute, true},
		{"after its end, which a late clock allows", 65 * time.Minute, true},
	} {
		p.KeepTicket(p.caller("alice").Holder, old)
		before := p.times()
		n := c.serve(inCluster)
		n.UseTicketClock(func() time.Time { return began.Add(test.after) })
		asked, release := n.HoldHashes()
		n.sendBy(p, "alice")
		n.sendBy(p, "alice")
		if renewed := p.times() == before+1; renewed != test.renewed || p.times() > before+1 {
			t.Errorf("%s: renewed %d times", test.name, p.times()-before)
		}
		if asked() != 0 {
			t.Errorf("%s: %d hashes were asked for", test.name, asked())
		}
		release()
	}
}

// A ticket that is not right is as good as none: the password is checked.
func TestAWrongTicketIsNoTicket(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	p := newProxy()
	n := c.serve(inCluster)
	n.sendBy(p, "alice")
	n.sendBy(p, "bob")
	began := time.Now()
	for _, test := range []struct {
		name   string
		ticket chat.Secret
		after  time.Duration
	}{
		{"another user's", p.caller("bob").Ticket, 0},
		{"one that has ended", p.caller("alice").Ticket, 2 * time.Hour},
		{"a garbled one", chat.NewSecret(strings.Repeat("x", 40)), 0},
		{"one that is too long", chat.NewSecret(strings.Repeat("x", 64)), 0},
	} {
		n := c.serve(inCluster)
		n.UseTicketClock(func() time.Time { return began.Add(test.after) })
		from := p.caller("alice")
		from.Ticket = test.ticket
		before := p.times()
		if err := n.AdmitByTicket(t.Context(), from, "alice"); codeOf(err) != chat.CodeAuth || p.times() != before {
			t.Errorf("%s, alone: %v, and %d tickets; want auth and none", test.name, err, p.times()-before)
		}
		if code := n.sendFrom(from, "alice", "guess"); code != chat.CodeAuth || p.times() != before {
			t.Errorf("%s, with a wrong password: %s, and %d tickets; want auth and none", test.name, code, p.times()-before)
		}
		if code := n.sendFrom(from, "alice", passwordOf("alice")); code != "ok" || p.times() != before+1 {
			t.Errorf("%s, with the right password: %s, and %d tickets; want ok and one", test.name, code, p.times()-before)
		}
	}
}

// That a user has no password is something else than that none came.
func TestATicketAloneIsNeverAnEmptyPassword(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	u := chat.User{ID: "alice", Name: "Alice", Hash: server.HashPassword(chat.NewSecret(""), cheap)}
	if err := c.AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	n := c.serve(inCluster)
	asked, release := n.HoldHashes()
	for _, user := range []chat.UserID{"alice", "mallory"} {
		if err := n.AdmitByTicket(t.Context(), anyCaller, user); codeOf(err) != chat.CodeAuth {
			t.Errorf("%s without a ticket: %v, want auth", user, err)
		}
	}
	if asked() != 0 {
		t.Errorf("%d hashes were asked for", asked())
	}
	release()
	p := newProxy()
	if code := n.sendFrom(p.from("alice", ""), "alice", ""); code != "ok" {
		t.Fatalf("the empty password: %s", code)
	}
	if err := n.AdmitByTicket(t.Context(), p.from("alice", ""), "alice"); err != nil {
		t.Errorf("with a ticket: %v", err)
	}
}

func TestAServerWithoutAKeyHasNoTickets(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	p := newProxy()
	alone := c.serve()
	alone.sendBy(p, "alice")
	if p.times() != 0 {
		t.Error("it gives one")
	}
	c.serve(inCluster).sendBy(p, "alice")
	if err := alone.AdmitByTicket(t.Context(), p.caller("alice"), "alice"); codeOf(err) != chat.CodeAuth {
		t.Errorf("it takes one: %v", err)
	}
}

func TestAChangedPasswordEndsItsTicketsEverywhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice")
	p := newProxy()
	servers := []*node{c.serve(inCluster), c.serve(inCluster)}
	for _, n := range servers {
		n.sendBy(p, "alice")
	}
	old := p.caller("alice")
	if err := c.SetPassword(t.Context(), "alice", server.HashPassword(chat.NewSecret("new"), cheap)); err != nil {
		t.Fatal(err)
	}
	changed := time.Now()
	servers = append(servers, c.serve(inCluster)) // which has never seen alice
	for i, n := range servers {
		eventually(t, "the ticket alone is refused", func() bool {
			return codeOf(n.AdmitByTicket(t.Context(), old, "alice")) == chat.CodeAuth
		})
		if took := time.Since(changed); took > 5*time.Second {
			t.Errorf("server %d took the ticket for %v", i, took)
		}
		if code := n.sendFrom(old, "alice", passwordOf("alice")); code != chat.CodeAuth {
			t.Errorf("server %d: the old password with its ticket: %s, want auth", i, code)
		}
		if code := n.sendFrom(p.from("alice", "new"), "alice", "new"); code != "ok" {
			t.Errorf("server %d: the new password: %s", i, code)
		}
		if err := n.AdmitByTicket(t.Context(), p.from("alice", "new"), "alice"); err != nil {
			t.Errorf("server %d: the new password's ticket: %v", i, err)
		}
	}
	// An old password that is set anew has a hash of its own: so even that brings no old ticket back.
	first := server.HashPassword(chat.NewSecret(passwordOf("alice")), cheap)
	if err := c.SetPassword(t.Context(), "alice", first); err != nil {
		t.Fatal(err)
	}
	if err := c.serve(inCluster).AdmitByTicket(t.Context(), old, "alice"); codeOf(err) != chat.CodeAuth {
		t.Errorf("the first ticket, now that the first password is back: %v", err)
	}
}
