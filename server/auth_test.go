package server_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
	"multichat/server"
)

// sendWith sends with a password, and returns the answer's code.
func (n *node) sendWith(from chat.UserID, password string) chat.Code {
	_, err := n.Send(n.t.Context(), anyCaller, wire.Wrmsg{ID: chat.MessageID(time.Now().String()), User: from,
		Password: chat.NewSecret(password), To: chat.Everyone, Text: []byte("text")})
	return codeOf(err)
}

func TestWhoMaySend(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice")
	for id, hash := range map[chat.UserID]string{"nopassword": "", "garbled": "$argon2id$v=19$m=8"} {
		if err := c.AddUser(t.Context(), chat.User{ID: id, Name: "x", Hash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	n := c.serve()
	for _, test := range []struct {
		name     string
		user     chat.UserID
		password string
		want     chat.Code
	}{
		{"the right password", "alice", passwordOf("alice"), "ok"},
		{"a wrong password", "alice", "guess", chat.CodeAuth},
		{"the same wrong password again", "alice", "guess", chat.CodeAuth},
		{"the right password after a wrong one", "alice", passwordOf("alice"), "ok"},
		{"no password", "alice", "", chat.CodeAuth},
		{"a user that does not exist", "mallory", "guess", chat.CodeAuth},
		{"a user whom nobody gave a password", "nopassword", "", chat.CodeUnavail},
		{"a user whose hash is garbled", "garbled", "guess", chat.CodeUnavail},
	} {
		if code := n.sendWith(test.user, test.password); code != test.want {
			t.Errorf("%s: %s, want %s", test.name, code, test.want)
		}
	}
}

func TestAUserThatDoesNotExistCostsAHash(t *testing.T) {
	t.Parallel()
	n := newCluster(t, 1).serve()
	asked, release := n.HoldHashes()
	answer := make(chan chat.Code)
	go func() { answer <- n.sendWith("mallory", "guess") }()
	eventually(t, "a hash is asked for", func() bool { return asked() == 1 })
	release()
	if code := <-answer; code != chat.CodeAuth {
		t.Errorf("answered %s", code)
	}
}

func TestAPasswordThatWasVerifiedCostsNoHash(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	n.say("alice", "alice", "verified")
	asked, release := n.HoldHashes()
	defer release()

	n.say("alice", "alice", "again")
	newClient(t, "alice").gets(n, "verified", "again")

	users := n.store.count("Users")
	c.addUsers("carol") // on the same shard, whose users are now read again
	eventually(t, "alice is read again", func() bool {
		n.say("alice", "alice", "again")
		return n.store.count("Users") > users
	})
	if asked() != 0 {
		t.Errorf("%d hashes were asked for", asked())
	}
}

func TestAPollWithAPasswordThatWasRefusedCostsNoHash(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	alice := newClient(t, "alice")
	n.say("bob", "alice", "hello")
	alice.password = "old"
	alice.poll(n)
	eventually(t, "the poll is refused", func() bool { return n.drops("auth") == 1 })

	asked, release := n.HoldHashes()
	alice.poll(n)
	if n.drops("auth") != 2 || asked() != 0 {
		t.Errorf("the second poll was refused %d times, %d hashes were asked for; want at once and none",
			n.drops("auth")-1, asked())
	}
	release()
	if len(alice.pushed()) != 0 {
		t.Error("a wrong password was answered")
	}
	alice.password = passwordOf("alice")
	alice.gets(n, "hello")
}

func TestPasswordsBeyondTheBoundAreBusy(t *testing.T) {
	t.Parallel()
	n := newCluster(t, 1).serve(holdFor(1500 * time.Millisecond))
	asked, release := n.HoldHashes()
	var group sync.WaitGroup
	for i := range server.MaxHashesWaiting {
		group.Go(func() {
			if code := n.sendWith(chat.UserID(fmt.Sprint("mallory", i)), "guess"); code != chat.CodeUnavail {
				t.Errorf("a send whose password waits for the hold's end: %s, want unavail", code)
			}
		})
	}
	eventually(t, "the hasher's queue is full", func() bool { return asked() == server.MaxHashesWaiting })
	if code := n.sendWith("mallory", "guess"); code != chat.CodeBusy {
		t.Errorf("one more: %s, want busy", code)
	}
	group.Wait()
	release()
}

// Guessing at one user must not keep the others' passwords from being checked.
func TestGuessesAtOneUserTakeAFewPlacesOnly(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	asked, release := n.HoldHashes()
	var group sync.WaitGroup
	for i := range server.MaxUserChecks {
		group.Go(func() {
			if code := n.sendWith("alice", fmt.Sprint("guess ", i)); code != chat.CodeAuth {
				t.Errorf("a guess: %s, want auth", code)
			}
		})
	}
	eventually(t, "the guesses are being checked", func() bool { return asked() == server.MaxUserChecks })
	if code := n.sendWith("alice", "one guess more"); code != chat.CodeBusy {
		t.Errorf("one more: %s, want busy", code)
	}
	group.Go(func() { n.say("bob", chat.Everyone, "not concerned") })
	eventually(t, "bob's password is being checked", func() bool { return asked() == server.MaxUserChecks+1 })
	release()
	group.Wait()
}

// A client that opens many connections at once, before its password is known, costs one hash.
func TestEqualPasswordsAtOnceCostOneHash(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	n := c.serve()
	asked, release := n.HoldHashes()
	var group, called sync.WaitGroup
	const sends = 3 * server.MaxHashesWaiting
	called.Add(sends)
	for range sends {
		group.Go(func() {
			called.Done()
			if code := n.sendWith("alice", passwordOf("alice")); code != "ok" { // busy, if each took a place
				t.Errorf("a send: %s, want ok", code)
			}
		})
	}
	called.Wait()
	eventually(t, "a hash is asked for", func() bool { return asked() > 0 })
	if asked() != 1 {
		t.Errorf("%d hashes were asked for, want 1", asked())
	}
	release()
	group.Wait()
}

func TestAChangedPasswordCountsEverywhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice", "bob")
	servers := []*node{c.serve(), c.serve()}
	for _, n := range servers {
		n.say("alice", chat.Everyone, "verified")
	}
	changed := time.Now()
	if err := c.SetPassword(t.Context(), "alice", server.HashPassword(chat.NewSecret("new"), cheap)); err != nil {
		t.Fatal(err)
	}
	for i, n := range servers {
		eventually(t, "the old password is refused", func() bool {
			return n.sendWith("alice", passwordOf("alice")) == chat.CodeAuth
		})
		if took := time.Since(changed); took > 2*time.Second {
			t.Errorf("the old password counted for %v", took)
		}
		if code := n.sendWith("alice", "new"); code != "ok" {
			t.Errorf("the new password: %s", code)
		}
		alice := newClient(t, "alice")
		// A text of its own for each server: it is also the message's id, and what the one server has delivered, with
		// its cursor stored, would never come from the other.
		n.say("bob", "alice", fmt.Sprint("hello from server ", i))
		alice.poll(n)
		eventually(t, "a poll with the old password is refused", func() bool { return n.drops("auth") > 0 })
		alice.password = "new"
		alice.pollUntil(n, "given a message", func() bool { return len(alice.texts()) > 0 })
	}
}

// A user can be read before the server has seen the shard's revision of its users for the first time.
func TestAPasswordChangedWhileAServerStartsCounts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	var arrivals heldCalls
	n := c.start(func(cfg *server.Config) { arrivals = cfg.Store.(*watchedStore).prepareHold(t, "Arrivals") })
	<-arrivals.first
	n.say("alice", chat.Everyone, "verified")
	if err := c.SetPassword(t.Context(), "alice", server.HashPassword(chat.NewSecret("new"), cheap)); err != nil {
		t.Fatal(err)
	}
	arrivals.release()
	n.awaitReady()
	if code := n.sendWith("alice", passwordOf("alice")); code != chat.CodeAuth {
		t.Errorf("the old password: %s", code)
	}
	if code := n.sendWith("alice", "new"); code != "ok" {
		t.Errorf("the new password: %s", code)
	}
}

func TestARemovedUserIsNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice", "bob")
	n := c.serve()
	alice := newClient(t, "alice")
	n.say("bob", "alice", "hello")
	alice.gets(n, "hello")
	if err := c.RemoveUser(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "alice may not send", func() bool { return n.sendWith("alice", passwordOf("alice")) == chat.CodeAuth })
	if _, err := n.send("bob", "alice", "id", "text"); codeOf(err) != chat.CodeNoUser {
		t.Errorf("a send to alice: %v", err)
	}
	alice.pollUntil(n, "refused", func() bool { return n.drops("auth") > 0 })
	before := n.drops("auth")
	n.say("bob", chat.Everyone, "to all")
	alice.pollUntil(n, "refused again", func() bool { return n.drops("auth") > before+1 })
	if got := alice.texts(); len(got) != 1 {
		t.Errorf("a removed user got %q", got)
	}
}
