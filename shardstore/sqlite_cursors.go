package shardstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"multichat/internal/chat"
)

// OpenCursors looks without a lock first: most devices that ask have a row.
func (s *sqliteShard) OpenCursors(ctx context.Context, fence Fence, devices []chat.Device) ([]chat.Cursor, error) {
	cursors := make([]chat.Cursor, len(devices))
	if err := findCursors(readFrom(ctx, s), devices, cursors); err != nil {
		return nil, s.notStored("be read", err)
	}
	if !anyMissing(cursors) {
		return cursors, nil
	}
	err := s.write(ctx, "register devices", func(tx *sqliteTx) error {
		if err := tx.enter(fence); err != nil {
			return err
		}
		if err := findCursors(tx.query, devices, cursors); err != nil {
			return err
		}
		made := make(map[chat.Device]chat.Cursor)
		for i, d := range devices {
			if cursors[i] != (chat.Cursor{}) {
				continue
			}
			c, ok := made[d]
			if !ok {
				var err error
				if c, err = tx.makeCursor(d, time.Now(), len(made) == 0); err != nil {
					return err
				}
				if c != (chat.Cursor{}) {
					made[d] = c
				}
			}
			cursors[i] = c
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return cursors, nil
}

// querier is a query of a transaction or of a reader.
type querier func(text string, args ...any) (*sql.Rows, error)

func readFrom(ctx context.Context, s *sqliteShard) querier {
	return func(text string, args ...any) (*sql.Rows, error) { return s.query(ctx, text, args...) }
}

// findCursors fills in the cursors that exist. The others stay zero.
func findCursors(query querier, devices []chat.Device, cursors []chat.Cursor) error {
	for base := 0; base < len(devices); base += maxList {
		part := devices[base:min(base+maxList, len(devices))]
		args := make([]any, 0, 2*listSize(len(part)))
		for _, d := range part {
			args = append(args, blob(d.User), blob(d.ID))
		}
		err := each(query(cursorsText(listSize(len(part))), pad(args, cap(args))...))(func(rows *sql.Rows) error {
			var i int
			var c chat.Cursor
			var seen int64
			if err := rows.Scan(&i, &c.Session, &c.Inbox, &c.Broadcast, &seen); err != nil {
				return err
			}
			c.Device, c.Seen = part[i], time.UnixMilli(seen)
			cursors[base+i] = c
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var cursorsText = textsBySize(func(size int) string {
	var b strings.Builder
	for i := range size {
		fmt.Fprintf(&b, ",(%d,?,?)", i)
	}
	return `WITH w (i, userid, device) AS (VALUES ` + b.String()[1:] + `)
		SELECT w.i, c.session, c.inbox_seq, c.bcast_seq, c.seen_at FROM w CROSS JOIN cursor AS c
		ON c.userid = w.userid AND c.device = w.device`
})

// makeCursor registers a device, unless its user does not exist; then it returns the zero Cursor. The first of a
// transaction takes the seq for all.
func (tx *sqliteTx) makeCursor(d chat.Device, now time.Time, first bool) (chat.Cursor, error) {
	// The first device starts where its user does, a further one where the most advanced of the others is.
	c := chat.Cursor{Device: d, Seen: time.UnixMilli(now.UnixMilli())}
	var others int
	err := tx.row(`SELECT COUNT(c.device), COALESCE(MAX(c.inbox_seq), u.inbox_from), COALESCE(MAX(c.bcast_seq), u.bcast_from)
		FROM users AS u LEFT JOIN cursor AS c ON c.userid = u.userid WHERE u.userid = ? GROUP BY u.userid`,
		[]any{blob(d.User)}, &others, &c.Inbox, &c.Broadcast)
	if isNoRows(err) {
		return chat.Cursor{}, nil
	}
	if err != nil {
		return chat.Cursor{}, err
	}
	if first {
		if _, err := tx.take(1, 0); err != nil {
			return chat.Cursor{}, err
		}
	}
	if tooMany := others - (chat.MaxDevices - 1); tooMany > 0 {
		_, err := tx.exec(`DELETE FROM cursor WHERE userid = ? AND device IN
			(SELECT device FROM cursor WHERE userid = ? ORDER BY seen_at, device LIMIT ?)`,
			blob(d.User), blob(d.User), tooMany)
		if err != nil {
			return chat.Cursor{}, err
		}
	}
	_, err = tx.exec(`INSERT INTO cursor (userid, device, session, inbox_seq, bcast_seq, seen_at) VALUES (?, ?, ?, ?, ?, ?)`,
		blob(d.User), blob(d.ID), c.Session, int64(c.Inbox), int64(c.Broadcast), c.Seen.UnixMilli())
	return c, err
}

func anyMissing(cursors []chat.Cursor) bool {
	for _, c := range cursors {
		if c == (chat.Cursor{}) {
			return true
		}
	}
	return false
}

// RaiseCursors writes the batch in one transaction. It needs no fence: a cursor only rises, so one raised on a shard
// that its user has left does no harm.
func (s *sqliteShard) RaiseCursors(ctx context.Context, cursors []chat.Cursor) error {
	if len(cursors) == 0 {
		return nil
	}
	return s.write(ctx, "raise cursors", func(tx *sqliteTx) error {
		for _, c := range cursors {
			seen := c.Seen
			if seen.IsZero() {
				seen = time.Now()
			}
			_, err := tx.exec(`UPDATE cursor SET session = ?, inbox_seq = MAX(inbox_seq, ?), bcast_seq = MAX(bcast_seq, ?),
				seen_at = MAX(seen_at, ?) WHERE userid = ? AND device = ? AND session <= ?`,
				c.Session, int64(c.Inbox), int64(c.Broadcast), seen.UnixMilli(), blob(c.User), blob(c.Device.ID), c.Session)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
