package server

import (
	"log/slog"
	"testing"
	"time"

	"multichat/internal/chat"
)

// Others have committed meanwhile, so what this server has committed cannot be taken from memory.
func TestACommitThatNobodyHereReadsWaitsForTheNextLook(t *testing.T) {
	r := newReader(1, nil, slog.New(slog.DiscardHandler), func() time.Duration { return 0 }, nil, nil)
	r.heard = true
	box := r.join("bob")
	batch := func(to chat.Mailbox) []chat.Message {
		return []chat.Message{{Seq: chat.SeqAt(7, 1), To: "carol"}, {Seq: chat.SeqAt(8, 1), To: to}}
	}
	r.committed(batch("dave"))
	if len(r.wake) != 0 {
		t.Error("a commit for others has the reader look")
	}
	r.committed(batch("bob"))
	if len(r.wake) != 1 {
		t.Error("a commit for somebody here does not have the reader look")
	}
	<-r.wake
	r.leave(box)
	r.committed(batch("bob"))
	if len(r.wake) != 0 {
		t.Error("a commit for somebody who has left has the reader look")
	}
}
