package server

import (
	"bytes"

	"multichat/internal/chat"
)

// writeKey is what makes two writes the same one.
type writeKey struct {
	from chat.UserID
	id   chat.MessageID
	to   chat.Mailbox
}

func (x *write) key() writeKey { return writeKey{x.message.From, x.message.ID, x.message.To} }

// apart splits off the writes whose key stands earlier in the batch with another text: which of the two is the one that
// counts is the store's to say, so they go into a later batch.
func apart(batch []*write) (now, later []*write) {
	texts := make(map[writeKey][]byte, len(batch))
	now = make([]*write, 0, len(batch))
	for _, x := range batch {
		text, again := texts[x.key()]
		if again && !bytes.Equal(text, x.message.Text) {
			later = append(later, x)
			continue
		}
		texts[x.key()] = x.message.Text
		now = append(now, x)
	}
	return now, later
}

// joined is a batch in which equal writes have become one submission: the same id twice in one batch could not be told
// apart from an id that is stored already.
type joined struct {
	submissions []chat.Submission
	place       []int  // of each write: its submission
	first       []bool // of each write: it is the one that is stored
}

// join makes the submissions of a batch in which no key has two texts.
func join(batch []*write) joined {
	j := joined{
		submissions: make([]chat.Submission, 0, len(batch)),
		place:       make([]int, len(batch)),
		first:       make([]bool, len(batch)),
	}
	seen := make(map[writeKey]int, len(batch))
	for i, x := range batch {
		at, again := seen[x.key()]
		if !again {
			at = len(j.submissions)
			seen[x.key()] = at
			j.submissions = append(j.submissions, x.message)
		}
		j.place[i], j.first[i] = at, !again
	}
	return j
}

// answer is what the sender of write i is told, given what became of the submissions.
func (j joined) answer(i int, stored []chat.Stored) chat.Stored {
	s := stored[j.place[i]]
	s.Existed = s.Existed || !j.first[i] && s.Err == nil
	return s
}
