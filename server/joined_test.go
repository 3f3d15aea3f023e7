package server

import (
	"fmt"
	"slices"
	"testing"

	"multichat/internal/chat"
)

func TestWritesWithEqualIDsAreJoined(t *testing.T) {
	w := func(from, id, to, text string) *write {
		return &write{message: chat.Submission{ID: chat.MessageID(id), From: chat.UserID(from), To: chat.Mailbox(to),
			Text: []byte(text)}}
	}
	now, later := apart([]*write{
		w("alice", "1", "bob", "A"),
		w("alice", "2", "bob", "A"),
		w("alice", "1", "bob", "A"),
		w("alice", "1", "bob", "B"),
		w("alice", "1", "carol", "B"),
		w("bob", "1", "bob", "B"),
	})
	if len(later) != 1 || string(later[0].message.Text) != "B" || later[0].message.To != "bob" || later[0].message.From != "alice" {
		t.Fatalf("later: %v; want alice's 1 to bob with its other text alone", later)
	}
	j := join(now)
	var submitted []string
	for _, m := range j.submissions {
		submitted = append(submitted, fmt.Sprint(m.From, m.ID, m.To, string(m.Text)))
	}
	if want := []string{"alice1bobA", "alice2bobA", "alice1carolB", "bob1bobB"}; !slices.Equal(submitted, want) {
		t.Fatalf("submitted %q, want %q, in this order", submitted, want)
	}
	stored := []chat.Stored{{Seq: 10}, {Seq: 11, Existed: true}, {Err: chat.Errorf(chat.CodeNoUser, "no")}, {Seq: 12}}
	for i, want := range []string{"10 false ", "11 true ", "10 true ", "0 false nouser", "12 false "} {
		s := j.answer(i, stored)
		code := chat.Code("")
		if s.Err != nil {
			code = s.Err.Code
		}
		if got := fmt.Sprint(int64(s.Seq), s.Existed, " ", code); got != want {
			t.Errorf("write %d is answered %q, want %q", i, got, want)
		}
	}
}
