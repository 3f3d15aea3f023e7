package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
)

// handAll hands a server all that it is to be handed now, by ref.
func (u *unanswered) handAll() (refs []uint64) {
	for c := u.nextCall(); c != nil; c = u.nextCall() {
		refs = append(refs, c.ref)
	}
	return refs
}

func refs(calls []*call) (refs []uint64) {
	for _, c := range calls {
		refs = append(refs, c.ref)
	}
	return refs
}

func TestCallsAreHandedToEachServerInOrder(t *testing.T) {
	var u unanswered
	begun := time.Now()
	for ref := range uint64(6) {
		u.add(&call{ref: ref + 1, due: begun.Add(time.Duration(ref) * time.Second)})
	}
	check := func(what string, got []uint64, want ...uint64) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	for range 2 {
		u.nextCall()
	}
	u.take(2)
	check("one of two handed ones is answered", u.handAll(), 3, 4, 5, 6)
	check("nothing new", u.handAll())
	if u.take(2) != nil || u.take(99) != nil {
		t.Error("a call was answered twice, or never made")
	}
	u.add(&call{ref: 7, due: begun.Add(time.Minute)})
	u.take(4)
	u.rewind()
	u.nextCall()
	check("the first two are overdue", refs(u.takeOverdue(begun.Add(2*time.Second))), 1, 3)
	check("what is left goes to the second server", u.handAll(), 5, 6, 7)
	for range maxResends - 1 {
		u.rewind()
		u.handAll()
	}
	check("those that four servers had", refs(u.takeWorn()), 5, 6)
	check("the rest", refs(u.takeAll()), 7)
	check("nothing is left", refs(u.takeAll()))
}

func TestOfAcksTheNewestCounts(t *testing.T) {
	var u unanswered
	u.rewind()
	if a, ok := u.nextAck(); ok {
		t.Errorf("nothing was acknowledged, and the server is told %v", a)
	}
	u.acknowledge(ack{"alice", 1})
	u.acknowledge(ack{chat.Everyone, 2})
	u.acknowledge(ack{"alice", 3})
	for range 2 {
		var told []ack
		for a, ok := u.nextAck(); ok; a, ok = u.nextAck() {
			told = append(told, a)
		}
		if want := []ack{{"alice", 3}, {chat.Everyone, 2}}; !slices.Equal(told, want) {
			t.Errorf("a server is told %v, want %v", told, want)
		}
		u.rewind()
	}
}

// Whatever is answered in whatever order, each server is handed what is unanswered, in order and once.
func TestCallsAreHandedOnceInAnyOrderOfAnswers(t *testing.T) {
	var u unanswered
	var waiting []uint64 // a simpler way to say the same
	next, handed := uint64(1), uint64(0)
	for range 20_000 {
		switch rand.N(8) {
		case 0, 1, 2:
			u.add(&call{ref: next})
			waiting = append(waiting, next)
			next++
		case 3, 4:
			c := u.nextCall()
			i := slices.IndexFunc(waiting, func(ref uint64) bool { return ref > handed })
			if (c == nil) != (i < 0) || c != nil && c.ref != waiting[i] {
				t.Fatalf("handed %+v, want one of %v after %d", c, waiting, handed)
			}
			if c != nil {
				handed = c.ref
			}
		case 5, 6:
			if len(waiting) > 0 {
				i := rand.N(len(waiting))
				if c := u.take(waiting[i]); c == nil || c.ref != waiting[i] {
					t.Fatalf("%d was answered, and is %+v", waiting[i], c)
				}
				waiting = slices.Delete(waiting, i, i+1)
			}
		case 7:
			if rand.N(20) == 0 {
				u.rewind()
				handed = 0
			}
		}
	}
}
