package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"multichat/internal/chat"
)

func messagesAt(seqs ...chat.Seq) []chat.Message {
	messages := make([]chat.Message, len(seqs))
	for i, seq := range seqs {
		messages[i] = chat.Message{Seq: seq, Text: []byte(fmt.Sprint(seq))}
	}
	return messages
}

func seqsOf(messages []chat.Message) []chat.Seq {
	var seqs []chat.Seq
	for _, m := range messages {
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

func TestWhatATailGives(t *testing.T) {
	box := &mailbox{from: 10}
	box.append(messagesAt(11, 15, 20)...)
	for _, test := range []struct {
		name     string
		position chat.Seq
		limit    int
		want     []chat.Seq
		gap      chat.Seq
	}{
		{"all", 10, 9, []chat.Seq{11, 15, 20}, 0},
		{"what is above the position", 11, 9, []chat.Seq{15, 20}, 0},
		{"the position need not be a message's", 12, 9, []chat.Seq{15, 20}, 0},
		{"no more than the limit", 10, 2, []chat.Seq{11, 15}, 0},
		{"nothing above the newest", 20, 9, nil, 0},
		{"nothing to a device that is ahead of this server", 30, 9, nil, 0},
		{"nothing to a device that is behind the tail: it asks the store up to there", 9, 9, nil, 10},
	} {
		got, gap := box.after(test.position, test.limit)
		if !slices.Equal(seqsOf(got), test.want) || gap != test.gap {
			t.Errorf("%s: %v and a gap up to %d; want %v, %d", test.name, seqsOf(got), gap, test.want, test.gap)
		}
	}
	if !box.hasAbove(19) || box.hasAbove(20) {
		t.Error("the newest message is not 20")
	}
}

func TestATailIsBounded(t *testing.T) {
	for _, test := range []struct {
		name string
		text string
	}{{"by messages", ""}, {"by bytes", strings.Repeat("x", chat.MaxText)}} {
		box := &mailbox{}
		for seq := range chat.Seq(3*maxTailMessages + 1) {
			box.append(chat.Message{Seq: seq + 1, Text: []byte(test.text)})
			if len(box.tail) >= 2*maxTailMessages || box.bytes >= 2*maxTailBytes+len(test.text) {
				t.Fatalf("%s: it holds %d messages of %d bytes", test.name, len(box.tail), box.bytes)
			}
		}
		if len(box.tail) < 1 || box.bytes != textBytes(box.tail) {
			t.Errorf("%s: it holds %d messages and counts %d bytes of %d", test.name, len(box.tail), box.bytes, textBytes(box.tail))
		}
	}
}

func TestATailForgetsWhatIsOld(t *testing.T) {
	box := &mailbox{}
	box.append(messagesAt(1, 2)...)
	box.age()
	box.append(messagesAt(3)...)
	box.age()
	if got, gap := box.after(2, 9); !slices.Equal(seqsOf(got), []chat.Seq{3}) || gap != 0 {
		t.Errorf("above 2 it has %v, gap %d; want what came since the last aging", seqsOf(got), gap)
	}
	if _, gap := box.after(1, 9); gap != 2 {
		t.Errorf("above 1 the store has to be asked up to %d, want 2", gap)
	}
	box.age()
	box.age()
	if len(box.tail) != 0 || box.tail != nil && cap(box.tail) != 0 {
		t.Errorf("an idle mailbox holds %d messages, room for %d", len(box.tail), cap(box.tail))
	}
	if _, gap := box.after(3, 9); gap != 0 {
		t.Errorf("a device that has everything is told to ask the store up to %d", gap)
	}
}

// Whatever happens to a tail, a device that takes messages from it, and from the store where it is told to, gets every
// message once and in order.
func TestATailAndTheStoreTogetherMissNothing(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var store []chat.Message
		box := &mailbox{from: chat.Seq(random.IntN(3))}
		next := box.from + 1
		for seq := range box.from {
			store = append(store, messagesAt(seq+1)...) // from before the mailbox was joined
			box.raiseNewest(seq + 1)
		}
		devices := make([]feed, 3)
		got := make([][]chat.Seq, len(devices))
		read := func(i, limit int) {
			f := &devices[i]
			messages, gap := box.after(f.at(), limit)
			if gap != 0 {
				for _, m := range store {
					if m.Seq > f.at() && m.Seq <= gap && len(messages) < limit {
						messages = append(messages, m)
					}
				}
				if len(messages) == 0 {
					f.raise(gap)
				}
			}
			for _, m := range messages {
				got[i] = append(got[i], m.Seq)
				f.raise(m.Seq)
			}
		}
		for range 300 {
			switch random.IntN(6) {
			case 0, 1:
				m := messagesAt(next)
				store = append(store, m...)
				box.append(m...)
				next += 1 + chat.Seq(random.IntN(3))
			case 2:
				store = append(store, messagesAt(next)...)
				box.skip(next, next)
				next++
			case 3:
				box.age()
			default:
				read(random.IntN(len(devices)), 1+random.IntN(5))
			}
		}
		for i := range devices {
			for range 2 * len(store) {
				if box.hasAbove(devices[i].at()) {
					read(i, 5)
				}
			}
			if !slices.Equal(got[i], seqsOf(store)) {
				t.Fatalf("seed %d: a device got %v of %v", seed, got[i], seqsOf(store))
			}
		}
	}
}
