package chat_test

import (
	"testing"

	"multichat/internal/chat"
)

func TestEachSessionIsAboveTheOnesBefore(t *testing.T) {
	const highest = 1<<chat.SessionNonceBits - 1
	last := int64(0)
	for _, nonce := range []uint32{highest, 0, 7, 7, highest, 1} {
		l := chat.Login{Nonce: nonce}
		next := chat.NextSession(last, nonce)
		if next <= last || !l.Has(next) {
			t.Errorf("after %d comes %d; want a higher one of the nonce %d", last, next, nonce)
		}
		if other := (chat.Login{Nonce: nonce ^ 1}); other.Has(next) {
			t.Errorf("session %d is also of the nonce %d", next, other.Nonce)
		}
		last = next
	}
	if want := int64(6<<chat.SessionNonceBits | 1); last != want {
		t.Errorf("the sixth session is %d, want %d", last, want)
	}
}
