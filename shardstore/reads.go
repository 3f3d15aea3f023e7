package shardstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"multichat/internal/chat"
)

// reads is what every kind of shard reads, in words that all of them understand.
type reads struct {
	answers
	query func(ctx context.Context, text string, args ...any) (*sql.Rows, error)

	// fresh begins a session that sees at least what this process has seen of the shard before.
	fresh func(ctx context.Context) (session, error)

	unusable func(error) error // what the registry and care are answered with, nil for nil: see openProblem
}

// session is for questions of which each sees what the one before it saw, and what was committed since.
type session struct {
	query querier
	head  chat.Head // as it was at the session's beginning
	end   func()
}

// querier is a query of a transaction or of a reader.
type querier func(text string, args ...any) (*sql.Rows, error)

func (r *reads) within(ctx context.Context) querier {
	return func(text string, args ...any) (*sql.Rows, error) { return r.query(ctx, text, args...) }
}

// Head reads the shard's row.
func (r *reads) Head(ctx context.Context) (chat.Head, error) {
	s, err := r.fresh(ctx)
	if err != nil {
		return chat.Head{}, r.unread(err)
	}
	defer s.end()
	return s.head, nil
}

// errNoSequencer is a shard without its one row of shard, as while a backup is being restored.
var errNoSequencer = errors.New("the row of the shard's sequencer is missing")

func readHead(query querier) (chat.Head, error) {
	var head chat.Head
	var number chat.ShardNumber
	var counter int64
	err := one(query("SELECT number, counter, user_rev, map_epoch FROM shard WHERE id = 1"))(
		func(rows *sql.Rows) error { return rows.Scan(&number, &counter, &head.UserRev, &head.MapEpoch) })
	if counter > 0 {
		head.Newest = chat.SeqAt(counter, number)
	}
	return head, err
}

func readNumber(query querier) (number chat.ShardNumber, err error) {
	err = one(query("SELECT number FROM shard WHERE id = 1"))(func(rows *sql.Rows) error { return rows.Scan(&number) })
	return number, err
}

// one is each for a query of the shard's row.
func one(rows *sql.Rows, err error) func(f func(*sql.Rows) error) error {
	return func(f func(*sql.Rows) error) error {
		found := false
		err := each(rows, err)(func(rows *sql.Rows) error {
			found = true
			return f(rows)
		})
		if err == nil && !found {
			err = errNoSequencer
		}
		return err
	}
}

// Arrivals reads the head first: a row that is missed then is above it.
func (r *reads) Arrivals(
	ctx context.Context, after chat.Seq, seen chat.Head, limit int,
) (chat.Head, []chat.Arrival, error) {
	s, err := r.fresh(ctx)
	if err != nil {
		return chat.Head{}, nil, r.unread(err)
	}
	defer s.end()
	if s.head == seen {
		return s.head, nil, nil
	}
	var arrivals []chat.Arrival
	err = each(s.query("SELECT seq, userid FROM inbox WHERE seq > ? ORDER BY seq LIMIT ?", int64(after), limit))(
		func(rows *sql.Rows) error {
			var seq chat.Seq
			var mailbox sql.RawBytes
			if err := rows.Scan(&seq, &mailbox); err != nil {
				return err
			}
			arrivals = append(arrivals, chat.Arrival{Seq: seq, To: chat.Mailbox(mailbox)})
			return nil
		})
	return s.head, arrivals, r.unread(err)
}

const messageColumns = "seq, userid, msg_id, from_user, from_name, sent_ms, body"

// Bodies need no fresh session: whoever misses one looks into its mailbox by Page.
func (r *reads) Bodies(ctx context.Context, seqs []chat.Seq) ([]chat.Message, error) {
	messages := make([]chat.Message, 0, len(seqs))
	for part := range slices.Chunk(seqs, maxList) {
		args := make([]any, 0, listSize(len(part)))
		for _, seq := range part {
			args = append(args, int64(seq))
		}
		err := each(r.query(ctx, bodiesText(cap(args)), pad(args, cap(args))...))(func(rows *sql.Rows) error {
			m, err := scanMessage(rows)
			messages = append(messages, m)
			return err
		})
		if err != nil {
			return nil, r.unread(err)
		}
	}
	slices.SortFunc(messages, func(a, b chat.Message) int { return cmp.Compare(a.Seq, b.Seq) })
	return messages, nil
}

var bodiesText = textsBySize(func(size int) string {
	return "SELECT " + messageColumns + " FROM inbox WHERE seq IN (" + marks(size) + ")"
})

func (r *reads) Page(
	ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int,
) ([]chat.Message, error) {
	s, err := r.fresh(ctx)
	if err != nil {
		return nil, r.unread(err)
	}
	defer s.end()
	var messages []chat.Message
	const text = "SELECT " + messageColumns + " FROM inbox WHERE userid = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
	err = each(s.query(text, blob(m), int64(after), int64(upTo), limit))(func(rows *sql.Rows) error {
		m, err := scanMessage(rows)
		messages = append(messages, m)
		if maxBytes -= len(m.Text); maxBytes <= 0 && err == nil {
			return errEnough
		}
		return err
	})
	return messages, r.unread(err)
}

func (r *reads) Newest(ctx context.Context, mailboxes []chat.Mailbox) (map[chat.Mailbox]chat.Seq, error) {
	s, err := r.fresh(ctx)
	if err != nil {
		return nil, r.unread(err)
	}
	defer s.end()
	newest := make(map[chat.Mailbox]chat.Seq, len(mailboxes))
	for part := range slices.Chunk(mailboxes, maxList) {
		err := each(s.query(newestText(listSize(len(part))), keyList(part)...))(func(rows *sql.Rows) error {
			var mailbox sql.RawBytes
			var seq chat.Seq
			if err := rows.Scan(&mailbox, &seq); err != nil {
				return err
			}
			newest[chat.Mailbox(mailbox)] = seq
			return nil
		})
		if err != nil {
			return nil, r.unread(err)
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

const userColumns = "userid, username, password, bcast_from"

func (r *reads) Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error) {
	s, err := r.fresh(ctx)
	if err != nil {
		return nil, r.unread(err)
	}
	defer s.end()
	users := make([]chat.User, 0, len(ids))
	for part := range slices.Chunk(ids, maxList) {
		err := each(s.query(usersText(listSize(len(part))), keyList(part)...))(scanUsers(&users))
		if err != nil {
			return nil, r.unread(err)
		}
	}
	return users, nil
}

var usersText = textsBySize(func(size int) string {
	return "SELECT " + userColumns + " FROM users WHERE userid IN (" + marks(size) + ")"
})

func (r *reads) ListUsers(ctx context.Context, after chat.UserID, limit int) ([]chat.User, error) {
	var users []chat.User
	const text = "SELECT " + userColumns + " FROM users WHERE userid > ? ORDER BY userid LIMIT ?"
	err := each(r.query(ctx, text, blob(after), limit))(scanUsers(&users))
	return users, r.unread(err)
}

func scanUsers(users *[]chat.User) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var id, name, hash sql.RawBytes
		var from chat.Seq
		if err := rows.Scan(&id, &name, &hash, &from); err != nil {
			return err
		}
		*users = append(*users, chat.User{ID: chat.UserID(id), Name: string(name), Hash: string(hash), BroadcastFrom: from})
		return nil
	}
}
