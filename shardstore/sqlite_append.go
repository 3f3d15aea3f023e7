package shardstore

import (
	"context"
	"errors"
	"slices"
	"strings"

	"multichat/internal/chat"
)

// errNotPlain is a batch that cannot be stored without a look at what is stored already.
var errNotPlain = errors.New("an id of the batch was used before, or a recipient does not exist")

// Append looks for what is stored already only if the batch is not plain: that is rare, and the look costs a tenth of
// the rest.
func (s *sqliteShard) Append(ctx context.Context, fence Fence, batch []chat.Submission) ([]chat.Stored, error) {
	out, err := s.append(ctx, fence, batch, true)
	if err == errNotPlain {
		out, err = s.append(ctx, fence, batch, false)
	}
	return out, err
}

// append commits the batch in one transaction, in which the shard's row is locked from before the first look to the
// commit: so seq order is commit order, and what the look found still holds when the rows are written. It writes nothing
// and returns errNotPlain if the batch was taken for a plain one and is not.
func (s *sqliteShard) append(ctx context.Context, fence Fence, batch []chat.Submission, plain bool) ([]chat.Stored, error) {
	out := make([]chat.Stored, len(batch))
	err := s.write(ctx, "store messages", func(tx *sqliteTx) error {
		if err := tx.enter(fence); err != nil {
			return err
		}
		if !plain {
			if err := findStored(tx.query, batch, out); err != nil {
				return err
			}
		}
		if err := refuseStrangers(tx.query, batch, out); err != nil {
			return err
		}
		if plain && slices.ContainsFunc(out, settled) {
			return errNotPlain // a message to a user who is gone may be stored
		}
		err := tx.insert(batch, out)
		if plain && isDuplicate(err) {
			return errNotPlain
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// insert stores what is not settled yet, in the batch's order. If that is nothing, it writes nothing.
func (tx *sqliteTx) insert(batch []chat.Submission, out []chat.Stored) error {
	fresh := make([]int, 0, len(batch))
	for i := range batch {
		if !settled(out[i]) {
			fresh = append(fresh, i)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	counter, err := tx.take(len(fresh), 0)
	if err != nil {
		return err
	}
	args := make([]any, 0, insertColumns*min(insertSizes[0], len(fresh)))
	for size := range split(len(fresh), insertSizes) {
		args = args[:0]
		for _, i := range fresh[:size] {
			m := &batch[i]
			out[i].Seq = chat.SeqAt(counter, tx.number)
			counter++
			text := m.Text
			if text == nil {
				text = []byte{} // nil would be NULL
			}
			args = append(args, int64(out[i].Seq), tx.fence.Partition(m.To), blob(m.To), blob(m.ID), blob(m.From),
				blob(m.FromName), m.Sent.UnixMilli(), text)
		}
		if _, err := tx.exec(insertText(size), args...); err != nil {
			return err
		}
		fresh = fresh[size:]
	}
	return nil
}

const insertColumns = 8

var insertText = textsBySize(func(size int) string {
	return `INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body) VALUES ` +
		strings.Repeat(",("+marks(insertColumns)+")", size)[1:]
})
