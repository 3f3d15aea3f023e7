package server

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
)

var clusterKey = chat.NewSecret(strings.Repeat("k", chat.ClusterKeyBytes))

var aTag = tag{1, 2, 3}

// ticketsAt are a server's whose clock stands.
func ticketsAt(key chat.Secret, now time.Time) *tickets {
	t := newTickets(key)
	t.now = func() time.Time { return now }
	return t
}

func TestATicketIsOfOneUserHashAndCluster(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	ours, otherCluster := ticketsAt(clusterKey, now), ticketsAt(chat.NewSecret("another cluster's key"), now)
	alice := &chat.User{ID: "alice", Name: "Alice", Hash: "hash"}
	ticket := ours.issue(alice, aTag).ticket
	if ticket.Len() != ticketBytes || ticketBytes > 64 {
		t.Errorf("a ticket has %d bytes", ticket.Len())
	}
	if got := ticketsAt(clusterKey, now).check(alice, ticket); got != ticketFresh {
		t.Errorf("at another server it is %v, want fresh", got)
	}
	if got := ours.check(&chat.User{ID: "alice", Name: "Alice Liddell", Hash: "hash"}, ticket); got != ticketFresh {
		t.Errorf("under the user's new name it is %v, want fresh", got)
	}
	wrong := func(name string, by *tickets, u *chat.User, ticket chat.Secret) {
		t.Helper()
		if got := by.check(u, ticket); got != ticketWrong {
			t.Errorf("%s: %v, want wrong", name, got)
		}
	}
	wrong("another user's", ours, &chat.User{ID: "bob", Hash: "hash"}, ticket)
	wrong("another password's", ours, &chat.User{ID: "alice", Hash: "other"}, ticket)
	wrong("one user's name and hash are another's", ours, &chat.User{ID: "alic", Hash: "ehash"}, ticket)
	wrong("another cluster's", otherCluster, alice, ticket)
	wrong("none", ours, alice, chat.Secret{})
	wrong("where there are none", nil, alice, ticket)
	raw := ticket.AppendTo(nil)
	wrong("cut off", ours, alice, chat.NewSecret(string(raw[:ticketBytes-1])))
	wrong("too long", ours, alice, chat.NewSecret(string(raw)+"x"))
	for i := range raw {
		forged := append([]byte(nil), raw...)
		forged[i] ^= 1
		wrong("forged", ours, alice, chat.ViewSecret(forged))
	}
}

func TestATicketEnds(t *testing.T) {
	made := time.Unix(1_700_000_000, 0)
	u := &chat.User{ID: "alice", Hash: "hash"}
	ticket := ticketsAt(clusterKey, made).issue(u, aTag).ticket
	for _, test := range []struct {
		after time.Duration // by the clock of the server that is shown it
		want  ticketState
	}{
		{-10*time.Minute - time.Second, ticketWrong}, // or it would be right for ever where a clock was wrong once
		{-10 * time.Minute, ticketFresh},
		{0, ticketFresh},
		{30 * time.Minute, ticketFresh},
		{30*time.Minute + time.Second, ticketAged},
		{70 * time.Minute, ticketAged},
		{70*time.Minute + time.Second, ticketWrong},
		{1000 * time.Hour, ticketWrong},
	} {
		if got := ticketsAt(clusterKey, made.Add(test.after)).check(u, ticket); got != test.want {
			t.Errorf("after %v: %v, want %v", test.after, got, test.want)
		}
	}
}

func TestATicketSaysWhenItEndsAndNothingReadable(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	u := &chat.User{ID: "alice", Hash: "hash"}
	raw := ticketsAt(clusterKey, now).issue(u, aTag).ticket.AppendTo(nil)
	if got := binary.BigEndian.Uint64(raw); int64(got) != now.Add(time.Hour).Unix() {
		t.Errorf("its first 8 bytes are %d", got)
	}
	if strings.Contains(string(raw), "alice") || strings.Contains(string(raw), "hash") {
		t.Error("it tells more")
	}
}

// Who asks again is given the same ticket, until that is half used up.
func TestAnAccountKeepsATicket(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := newAuthenticator(clusterKey, 0, fakeClock(0))
	a.tickets.now = func() time.Time { return now }
	u := &account{user: chat.User{ID: "alice", Hash: "hash"}}
	if early := a.ticketFor(u); early.Len() != 0 {
		t.Error("a ticket before the password was found right")
	}
	u.verified.Store(&aTag)
	first := a.ticketFor(u)
	now = now.Add(ticketRenew)
	if again := a.ticketFor(u); !again.Equal(first) {
		t.Error("another ticket after half of the time")
	}
	now = now.Add(time.Second)
	second := a.ticketFor(u)
	if second.Equal(first) || a.tickets.check(&u.user, second) != ticketFresh {
		t.Error("no fresh ticket once the first is half used up")
	}
	if without := newAuthenticator(chat.Secret{}, 0, fakeClock(0)).ticketFor(u); without.Len() != 0 {
		t.Error("a ticket without a key")
	}
}
