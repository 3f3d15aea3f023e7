package chaos

import (
	"math/rand/v2"
	"slices"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/checker"
	"multichat/internal/wire"
)

// journal keeps what it is told.
type journal []checker.Record

func (j *journal) Add(r checker.Record) { *j = append(*j, r) }

// An ack without an id is answered if it is refused, with an err that has no id either. For a moment in which a shard is down
// that is as it should be, and the client acknowledges again; that there is no such message is not.
func TestAnAckThatIsRefused(t *testing.T) {
	for _, test := range []struct {
		code       chat.Code
		again      bool
		complaints int
	}{
		{chat.CodeUnavail, true, 0},
		{chat.CodeBusy, true, 0},
		{chat.CodeBadReq, false, 1},
	} {
		var told journal
		p := person{load: &Load{cfg: LoadConfig{Journal: &told}}, name: "c01", user: "alice", rand: rand.New(rand.NewPCG(1, 1))}
		s := newStream(p, 0)
		s.takeLocked(chat.Message{From: "bob", To: "alice", Seq: 7, Text: []byte("hello")})
		told = nil
		if err := s.handleLocked(wire.Reply{Err: chat.Errorf(test.code, "no")}); err != nil {
			t.Errorf("%s: %v", test.code, err)
		}
		if len(told) != test.complaints {
			t.Errorf("%s: the client complains %d times, want %d: %v", test.code, len(told), test.complaints, told)
		}
		var frames []byte
		for range 200 { // it takes its time
			frames = append(frames, s.acks.late()...)
		}
		if again := slices.Equal(frames, ack("alice", 7)); again != test.again {
			t.Errorf("%s: the client says %q later; to acknowledge again is %t", test.code, frames, test.again)
		}
	}
}
