package server

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"multichat/internal/chat"
)

// newWindow is the window of a stream of bob's on a mailbox.
func newWindow(box *mailbox, at chat.Seq) *window {
	st := &stream{user: "bob"}
	st.inbox.box = box
	st.inbox.raise(at)
	w := &window{stream: st, feed: &st.inbox}
	w.opens(0)
	return w
}

// giveAll gives what the tail has, as far as there is room, and returns the seqs of it.
func giveAll(w *window, now time.Duration) (seqs []chat.Seq) {
	for {
		messages, upTo, _ := w.next(now)
		if upTo == 0 {
			return seqs
		}
		seqs = append(seqs, seqsOf(messages)...)
		w.gave(messages, upTo)
	}
}

func ascending(from chat.Seq, n int) (seqs []chat.Seq) {
	for i := range n {
		seqs = append(seqs, from+chat.Seq(i))
	}
	return seqs
}

func TestAFullWindowOpensWhenHalfOfItIsAcknowledged(t *testing.T) {
	box := &mailbox{}
	box.append(messagesAt(ascending(1, 3*windowMessages)...)...)
	w := newWindow(box, 0)
	if got := giveAll(w, 1); !slices.Equal(got, ascending(1, windowMessages)) {
		t.Fatalf("%d are given at first", len(got))
	}
	w.acknowledge(windowMessages/2-1, 1)
	if got := giveAll(w, 1); len(got) != 0 {
		t.Errorf("%d are given before half of them are acknowledged", len(got))
	}
	w.acknowledge(windowMessages/2, 1)
	if got := giveAll(w, 1); !slices.Equal(got, ascending(windowMessages+1, windowMessages/2)) {
		t.Errorf("%d are given then", len(got))
	}
}

func TestAWindowThatWasNotFullTakesWhatComes(t *testing.T) {
	box := &mailbox{}
	w := newWindow(box, 0)
	for seq := chat.Seq(1); seq <= windowMessages; seq++ {
		box.append(messagesAt(seq)...)
		if got := giveAll(w, 1); !slices.Equal(got, []chat.Seq{seq}) {
			t.Fatalf("%v are given of %d", got, seq)
		}
	}
}

func TestAWindowIsStuckWhileNothingIsAcknowledged(t *testing.T) {
	box := &mailbox{}
	box.append(messagesAt(ascending(1, 2*windowMessages)...)...)
	w := newWindow(box, 0)
	giveAll(w, 5)
	if w.stuck != 5 {
		t.Errorf("it is stuck since %v, want 5", w.stuck)
	}
	giveAll(w, 6)
	if w.stuck != 5 {
		t.Errorf("looking again changes that to %v", w.stuck)
	}
	if w.acknowledge(1, 7); w.stuck != 7 {
		t.Errorf("after progress it is stuck since %v, want 7", w.stuck)
	}
	if w.acknowledge(1, 8); w.stuck != 7 {
		t.Errorf("the same again counts as progress: %v", w.stuck)
	}
	w.acknowledge(windowMessages, 9)
	giveAll(w, 9)
	w.acknowledge(2*windowMessages, 10)
	if giveAll(w, 10); w.stuck != 0 {
		t.Errorf("with nothing to get it is stuck since %v", w.stuck)
	}
	if w.open != nil || w.bytes != 0 {
		t.Errorf("an idle window holds %d messages of %d bytes", len(w.open), w.bytes)
	}
}

func TestOneMessageFitsAtAnyTime(t *testing.T) {
	box := &mailbox{}
	for seq := chat.Seq(1); seq <= 3; seq++ {
		box.append(chat.Message{Seq: seq, Text: []byte(strings.Repeat("x", windowBytes+1))})
	}
	w := newWindow(box, 0)
	for seq := chat.Seq(1); seq <= 3; seq++ {
		if got := giveAll(w, 1); !slices.Equal(got, []chat.Seq{seq}) {
			t.Fatalf("%v are given of %d", got, seq)
		}
		w.acknowledge(seq, 1)
	}
}

// What the user never gets moves the position as soon as all before it is acknowledged, and never before.
func TestOwnBroadcastsMoveThePosition(t *testing.T) {
	box := &mailbox{name: chat.Everyone}
	broadcast := func(seq chat.Seq, from chat.UserID) {
		box.append(chat.Message{Seq: seq, To: chat.Everyone, From: from})
	}
	w := newWindow(box, 0)
	at := func(when string, want chat.Seq) {
		t.Helper()
		if got := w.feed.at(); got != want {
			t.Errorf("%s the position is %d, want %d", when, got, want)
		}
	}
	broadcast(1, "bob")
	giveAll(w, 1)
	at("behind an own one", 1)
	broadcast(2, "alice")
	broadcast(3, "bob")
	if got := giveAll(w, 1); !slices.Equal(got, []chat.Seq{2}) {
		t.Errorf("%v are given", got)
	}
	at("with one that is not acknowledged", 1)
	w.acknowledge(2, 1)
	at("with all acknowledged", 3)
	broadcast(4, "alice")
	giveAll(w, 1)
	broadcast(5, "bob")
	giveAll(w, 1)
	at("with an own one behind another's", 3)
	w.acknowledge(4, 1)
	at("at last", 5)
}

// What a server before has given still waits for its acknowledgement, and is not given again.
func TestAWindowThatIsTakenOver(t *testing.T) {
	box := &mailbox{}
	box.append(messagesAt(ascending(1, 10)...)...)
	w := newWindow(box, 3)
	w.opens(7)
	if got := giveAll(w, 1); !slices.Equal(got, []chat.Seq{8, 9, 10}) {
		t.Errorf("%v are given", got)
	}
	if w.feed.at() != 3 {
		t.Errorf("the position is %d before anything is acknowledged", w.feed.at())
	}
	if w.acknowledge(5, 1); w.feed.at() != 5 {
		t.Errorf("the position is %d after 5", w.feed.at())
	}
	if w.acknowledge(10, 1); w.feed.at() != 10 || w.open != nil {
		t.Errorf("the position is %d after 10, with %d open", w.feed.at(), len(w.open))
	}
	w.acknowledge(20, 1) // another server has given it more
	box.append(messagesAt(ascending(11, 15)...)...)
	if got := giveAll(w, 1); !slices.Equal(got, ascending(21, 5)) {
		t.Errorf("after 20 %v are given", got)
	}
}

// The client may acknowledge what it was given before the server has noted that it gave it.
func TestAnAckThatIsFasterThanTheNote(t *testing.T) {
	box := &mailbox{}
	box.append(messagesAt(1, 2, 3)...)
	w := newWindow(box, 0)
	messages, upTo, _ := w.next(1)
	w.acknowledge(2, 1)
	if taken, _ := w.gave(messages, upTo); taken != 2 || len(w.open) != 1 || w.feed.at() != 2 {
		t.Errorf("%d were taken before, %d are open, the position is %d; want 2, 1, 2", taken, len(w.open), w.feed.at())
	}
}

func TestPausesOfAWindowGrowAndEndWithSuccess(t *testing.T) {
	box := &mailbox{}
	box.append(messagesAt(1)...)
	w := newWindow(box, 0)
	var now time.Duration
	for range 100 {
		until := w.pause(now)
		if until <= now || until > now+maxRetry {
			t.Fatalf("a pause of %v", until-now)
		}
		if messages, _, _ := w.next(until - 1); messages != nil {
			t.Fatal("given during a pause")
		}
		now = until
	}
	if now < 90*maxRetry {
		t.Errorf("a hundred pauses took %v: they do not grow", now)
	}
	giveAll(w, now)
	if until := w.pause(now); until != now+minRetry {
		t.Errorf("after success a pause takes %v", until-now)
	}
}

// Whatever happens, a stream that takes messages from the tail, and from the store where it is told to, is given every
// message once and in order, is never given more than its window holds, and its position never passes what it has not got.
func TestAWindowMissesNothing(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var store []chat.Message
		box := &mailbox{name: chat.Everyone}
		next := chat.Seq(1)
		commit := func(tell func(chat.Message)) {
			m := chat.Message{Seq: next, To: chat.Everyone, From: []chat.UserID{"alice", "alice", "bob"}[random.IntN(3)],
				Text: make([]byte, random.IntN(windowBytes/100))}
			store = append(store, m)
			tell(m)
			next += 1 + chat.Seq(random.IntN(3))
		}
		for range random.IntN(600) { // from before the mailbox was joined
			commit(func(m chat.Message) { box.raiseNewest(m.Seq); box.from = m.Seq })
		}
		box.searched.Store(true)
		if random.IntN(2) == 0 {
			box.from = next + 5 // the shard's position, behind messages of other mailboxes
			next += 6
		}
		w := newWindow(box, 0)
		var got []chat.Seq
		take := func(messages []chat.Message, upTo chat.Seq) {
			got = append(got, seqsOf(messages)...)
			w.gave(messages, upTo)
		}
		work := func() {
			messages, upTo, gap := w.next(1)
			if gap == 0 {
				take(messages, upTo)
				return
			}
			first, _ := slices.BinarySearchFunc(store, w.sent+1, bySeq)
			end, _ := slices.BinarySearchFunc(store, gap+1, bySeq)
			if page := store[first:min(end, first+1+random.IntN(windowMessages))]; len(page) > 0 {
				messages, upTo = w.fit(page)
				take(messages, upTo)
			} else {
				take(nil, gap)
			}
		}
		check := func() {
			if len(w.open) > windowMessages || w.bytes > windowBytes {
				t.Fatalf("seed %d: %d messages of %d bytes are on their way", seed, len(w.open), w.bytes)
			}
			for _, m := range store {
				if m.Seq > w.feed.at() {
					break
				}
				if _, found := slices.BinarySearch(got, m.Seq); !found && m.From != "bob" {
					t.Fatalf("seed %d: the position is %d, but %d was not given", seed, w.feed.at(), m.Seq)
				}
			}
		}
		for range 400 {
			switch random.IntN(6) {
			case 0, 1:
				commit(func(m chat.Message) { box.append(m) })
			case 2:
				commit(func(m chat.Message) { box.skip(m.Seq, m.Seq) })
			case 3:
				box.age()
			case 4:
				if len(got) > 0 {
					w.acknowledge(got[random.IntN(len(got))], 1)
				}
			default:
				work()
			}
			check()
		}
		var want []chat.Seq
		for _, m := range store {
			if m.From != "bob" {
				want = append(want, m.Seq)
			}
		}
		for range 10 * len(store) {
			if work(); len(got) > 0 {
				w.acknowledge(got[len(got)-1], 1)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: given %d of %d", seed, len(got), len(want))
		}
		if check(); len(store) > 0 && w.feed.at() < store[len(store)-1].Seq {
			t.Fatalf("seed %d: the position is %d at the end, below %d", seed, w.feed.at(), store[len(store)-1].Seq)
		}
	}
}

// There may be a million of the one, and hundreds of thousands of the other.
func TestWhatADeviceAndAStreamTakeOfMemory(t *testing.T) {
	if size := unsafe.Sizeof(device{}); size > 256 {
		t.Errorf("a device takes %d bytes", size)
	}
	if size := unsafe.Sizeof(stream{}); size > 512 {
		t.Errorf("an idle stream takes %d bytes", size)
	}
}
