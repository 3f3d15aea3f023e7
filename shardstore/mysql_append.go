package shardstore

import (
	"context"
	"errors"
	"fmt"

	"multichat/internal/chat"
)

// appendTries bounds how often a batch is sent. Each time but the first some of its messages have found their answer,
// or a message that was in its way is gone; more than two takes a user or a message that comes and goes.
const appendTries = 4

// Append sends the batch as one packet and looks into what is stored only if that fails: ids that are there already and
// recipients that are not are rare.
func (s *mysqlShard) Append(ctx context.Context, fence Fence, batch []chat.Submission) ([]chat.Stored, error) {
	const doing = "store messages"
	number, err := s.ownNumber(ctx)
	if err != nil {
		return nil, s.notStored(doing, err)
	}
	out := make([]chat.Stored, len(batch))
	for range appendTries {
		fresh := unsettled(out)
		if len(fresh) == 0 {
			return out, nil
		}
		counter, err := s.write(ctx, doing, s.appendPacket(fence, number, batch, fresh))
		if err == nil {
			s.noteHead(chat.SeqAt(counter, number))
			first := counter - int64(len(fresh)) + 1
			for i, at := range fresh {
				out[at].Seq = chat.SeqAt(first+int64(i), number)
			}
			return out, nil
		}
		if !errors.Is(err, errGuard) && !errors.Is(err, errDuplicate) {
			return nil, err
		}
		if err := s.settle(ctx, fence, batch, out); err != nil {
			return nil, err
		}
	}
	return nil, s.notStored(doing, errors.New("what is stored changes faster than it can be looked at"))
}

func unsettled(out []chat.Stored) []int {
	fresh := make([]int, 0, len(out))
	for i := range out {
		if !settled(out[i]) {
			fresh = append(fresh, i)
		}
	}
	return fresh
}

// settle finds out why a batch was not written, and answers the messages that will not be.
func (s *mysqlShard) settle(ctx context.Context, fence Fence, batch []chat.Submission, out []chat.Stored) error {
	in, err := s.session(ctx)
	if err != nil {
		return s.unread(err)
	}
	defer in.end()
	if err := in.checkFence(fence); err != nil {
		return s.unread(err)
	}
	if err := findStored(in.query, batch, out); err != nil {
		return s.unread(err)
	}
	return s.unread(refuseStrangers(in.query, batch, out))
}

// checkFence tells what of the conditions that all writes have in common does not hold.
func (s session) checkFence(fence Fence) error {
	if s.head.MapEpoch != fence.Epoch {
		return ErrFenced
	}
	return checkCounter(s.query)
}

// whyNot is what a write failed by errGuard is answered with if that was not its own condition; else nil.
func (s *mysqlShard) whyNot(ctx context.Context, fence Fence) error {
	in, err := s.session(ctx)
	if err != nil {
		return s.unread(err)
	}
	defer in.end()
	return s.unread(in.checkFence(fence))
}

// appendPacket stores those of the batch that are named, if all their recipients exist.
func (s *mysqlShard) appendPacket(fence Fence, number chat.ShardNumber, batch []chat.Submission, fresh []int) *packet {
	recipients := make(map[chat.Mailbox]bool)
	var asked []any
	for _, i := range fresh {
		if to := batch[i].To; to != chat.Everyone && !recipients[to] {
			recipients[to] = true
			asked = append(asked, blob(to))
		}
	}
	n := len(fresh)
	p := s.newPacket(fence, n, 0, asked, fmt.Sprintf("= %d", len(asked)))
	p.args = append(make([]any, 0, len(p.args)+7*n), p.args...)
	p.text.Grow(96 * n)
	p.add("; INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) VALUES ")
	for i, at := range fresh {
		m := &batch[at]
		if i > 0 {
			p.add(",")
		}
		text := m.Text
		if text == nil {
			text = []byte{} // nil would be NULL
		}
		// The seq, in as few words as can be: to read a statement is much of its price. It is the last one's less a number, and
		// never below 0, as what is without a sign may not be, since the counter has all n seqs in it.
		fmt.Fprintf(&p.text, "(LAST_INSERT_ID()*%d%+d,?,?,?,?,?,?,?)", chat.MaxShards, int(number)-(n-1-i)*chat.MaxShards)
		p.args = append(p.args, int64(fence.Partition(m.To)), blob(m.To), blob(m.ID), blob(m.From), blob(m.FromName),
			m.Sent.UnixMilli(), text)
	}
	return p
}
