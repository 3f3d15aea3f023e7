package shardstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"multichat/internal/chat"
)

// Head reads the shard's row.
func (s *sqliteShard) Head(ctx context.Context) (chat.Head, error) {
	head, err := s.head(ctx)
	return head, s.notStored("be read", err)
}

func (s *sqliteShard) head(ctx context.Context) (chat.Head, error) {
	var head chat.Head
	var number chat.ShardNumber
	var counter int64
	err := each(s.query(ctx, "SELECT number, counter, user_rev, map_epoch FROM shard WHERE id = 1"))(
		func(rows *sql.Rows) error { return rows.Scan(&number, &counter, &head.UserRev, &head.MapEpoch) })
	if counter > 0 {
		head.Newest = chat.SeqAt(counter, number)
	}
	return head, err
}

// Arrivals reads the head first: a row that is missed then is above it. The two reads need not share a connection here,
// since every statement on a SQLite file begins at its newest commit.
func (s *sqliteShard) Arrivals(
	ctx context.Context, after chat.Seq, seen chat.Head, limit int,
) (chat.Head, []chat.Arrival, error) {
	head, err := s.head(ctx)
	if err != nil || head == seen {
		return head, nil, s.notStored("be read", err)
	}
	var arrivals []chat.Arrival
	err = each(s.query(ctx, "SELECT seq, userid FROM inbox WHERE seq > ? ORDER BY seq LIMIT ?", int64(after), limit))(
		func(rows *sql.Rows) error {
			var seq chat.Seq
			var mailbox sql.RawBytes
			if err := rows.Scan(&seq, &mailbox); err != nil {
				return err
			}
			arrivals = append(arrivals, chat.Arrival{Seq: seq, To: chat.Mailbox(mailbox)})
			return nil
		})
	return head, arrivals, s.notStored("be read", err)
}

const messageColumns = "seq, userid, msg_id, from_user, from_name, sent_ms, body"

func (s *sqliteShard) Bodies(ctx context.Context, seqs []chat.Seq) ([]chat.Message, error) {
	messages := make([]chat.Message, 0, len(seqs))
	for part := range slices.Chunk(seqs, maxList) {
		args := make([]any, 0, listSize(len(part)))
		for _, seq := range part {
			args = append(args, int64(seq))
		}
		err := each(s.query(ctx, bodiesText(cap(args)), pad(args, cap(args))...))(func(rows *sql.Rows) error {
			m, err := scanMessage(rows)
			messages = append(messages, m)
			return err
		})
		if err != nil {
			return nil, s.notStored("be read", err)
		}
	}
	slices.SortFunc(messages, func(a, b chat.Message) int { return cmp.Compare(a.Seq, b.Seq) })
	return messages, nil
}

var bodiesText = textsBySize(func(size int) string {
	return "SELECT " + messageColumns + " FROM inbox WHERE seq IN (" + marks(size) + ")"
})

func (s *sqliteShard) Page(
	ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int,
) ([]chat.Message, error) {
	var messages []chat.Message
	const text = "SELECT " + messageColumns + " FROM inbox WHERE userid = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
	err := each(s.query(ctx, text, blob(m), int64(after), int64(upTo), limit))(func(rows *sql.Rows) error {
		m, err := scanMessage(rows)
		messages = append(messages, m)
		if maxBytes -= len(m.Text); maxBytes <= 0 && err == nil {
			return errEnough
		}
		return err
	})
	return messages, s.notStored("be read", err)
}

func (s *sqliteShard) Newest(ctx context.Context, mailboxes []chat.Mailbox) (map[chat.Mailbox]chat.Seq, error) {
	newest := make(map[chat.Mailbox]chat.Seq, len(mailboxes))
	for part := range slices.Chunk(mailboxes, maxList) {
		err := each(s.query(ctx, newestText(listSize(len(part))), keyList(part)...))(func(rows *sql.Rows) error {
			var mailbox sql.RawBytes
			var seq chat.Seq
			if err := rows.Scan(&mailbox, &seq); err != nil {
				return err
			}
			newest[chat.Mailbox(mailbox)] = seq
			return nil
		})
		if err != nil {
			return nil, s.notStored("be read", err)
		}
	}
	return newest, nil
}

var newestText = textsBySize(func(size int) string {
	return "SELECT userid, MAX(seq) FROM inbox WHERE userid IN (" + marks(size) + ") GROUP BY userid"
})

func scanMessage(rows *sql.Rows) (chat.Message, error) {
	var m chat.Message
	var to, id, from, name sql.RawBytes
	var sent int64
	err := rows.Scan(&m.Seq, &to, &id, &from, &name, &sent, &m.Text)
	m.To, m.ID, m.From, m.FromName = chat.Mailbox(to), chat.MessageID(id), chat.UserID(from), string(name)
	m.Sent = time.UnixMilli(sent)
	return m, err
}
