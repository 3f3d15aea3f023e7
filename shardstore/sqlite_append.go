package shardstore

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"multichat/internal/chat"
)

// Append commits the batch in one transaction, in which the shard's row is locked from before the first look to the
// commit: so seq order is commit order, and what the look found still holds when the rows are written.
func (s *sqliteShard) Append(ctx context.Context, fence Fence, batch []chat.Submission) ([]chat.Stored, error) {
	out := make([]chat.Stored, len(batch))
	err := s.write(ctx, "store messages", func(tx *sqliteTx) error {
		if err := tx.enter(fence); err != nil {
			return err
		}
		if err := tx.findStored(batch, out); err != nil {
			return err
		}
		if err := tx.refuseStrangers(batch, out); err != nil {
			return err
		}
		return tx.insert(batch, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// findStored answers the submissions whose id was used before.
func (tx *sqliteTx) findStored(batch []chat.Submission, out []chat.Stored) error {
	for base := 0; base < len(batch); base += maxList {
		part := batch[base:min(base+maxList, len(batch))]
		args := make([]any, 0, 3*listSize(len(part)))
		for _, m := range part {
			args = append(args, blob(m.ID), blob(m.From), blob(m.To))
		}
		err := each(tx.query(findText(listSize(len(part))), pad(args, cap(args))...))(func(rows *sql.Rows) error {
			var i int
			var seq chat.Seq
			var body sql.RawBytes
			if err := rows.Scan(&i, &seq, &body); err != nil {
				return err
			}
			if bytes.Equal(body, part[i].Text) {
				out[base+i] = chat.Stored{Seq: seq, Existed: true}
			} else {
				out[base+i].Err = chat.Errorf(chat.CodeConflict, "the id %q was used for another text; use a new id", part[i].ID)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var findText = textsBySize(func(size int) string {
	var b strings.Builder
	for i := range size {
		fmt.Fprintf(&b, ",(%d,?,?,?)", i)
	}
	return `WITH w (i, id, sender, mailbox) AS (VALUES ` + b.String()[1:] + `)
		SELECT w.i, m.seq, m.body FROM w CROSS JOIN inbox AS m
		ON m.msg_id = w.id AND m.from_user = w.sender AND m.userid = w.mailbox`
})

// refuseStrangers answers the submissions to users who do not exist.
func (tx *sqliteTx) refuseStrangers(batch []chat.Submission, out []chat.Stored) error {
	known := map[chat.Mailbox]bool{chat.Everyone: true}
	var asked []chat.Mailbox
	for i, m := range batch {
		if _, seen := known[m.To]; !seen && !settled(out[i]) {
			known[m.To] = false
			asked = append(asked, m.To)
		}
	}
	for part := range slices.Chunk(asked, maxList) {
		err := each(tx.query(knownText(listSize(len(part))), keyList(part)...))(func(rows *sql.Rows) error {
			var id sql.RawBytes
			if err := rows.Scan(&id); err != nil {
				return err
			}
			known[chat.Mailbox(id)] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	for i, m := range batch {
		if !settled(out[i]) && !known[m.To] {
			out[i].Err = chat.Errorf(chat.CodeNoUser, "there is no user %q", m.To)
		}
	}
	return nil
}

var knownText = textsBySize(func(size int) string {
	return "SELECT userid FROM users WHERE userid IN (" + marks(size) + ")"
})

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

// settled tells whether a submission has its answer.
func settled(s chat.Stored) bool { return s.Existed || s.Err != nil }
