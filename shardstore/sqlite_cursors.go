package shardstore

import (
	"context"
	"slices"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// OpenCursors looks without a lock first: most devices that ask have a row.
func (s *sqliteShard) OpenCursors(ctx context.Context, fence Fence, devices []chat.Device) ([]chat.Cursor, error) {
	cursors := make([]chat.Cursor, len(devices))
	if err := findCursors(s.within(ctx), devices, cursors); err != nil {
		return nil, s.unread(err)
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
				if c, err = tx.makeCursor(d, 0, faults.Now(), len(made) == 0); err != nil {
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

// makeCursor registers a device, unless its user does not exist; then it returns the zero Cursor. The first of a
// transaction takes the seq for all.
func (tx *sqliteTx) makeCursor(d chat.Device, session int64, now time.Time, first bool) (chat.Cursor, error) {
	// The first device starts where its user does, a further one where the most advanced of the others is.
	c := chat.Cursor{Device: d, Session: session, Seen: time.UnixMilli(now.UnixMilli())}
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

// RaiseCursors writes the batch in one transaction. It needs no fence: a cursor only rises, so one raised on a shard
// that its user has left does no harm.
func (s *sqliteShard) RaiseCursors(ctx context.Context, cursors []chat.Cursor) (outdated []chat.Device, err error) {
	if len(cursors) == 0 {
		return nil, nil
	}
	err = s.write(ctx, "raise cursors", func(tx *sqliteTx) error {
		for _, c := range cursors {
			raised, err := tx.raise(c, faults.Now())
			if err != nil {
				return err
			}
			if !raised && c.Session != 0 && !slices.Contains(outdated, c.Device) {
				outdated = append(outdated, c.Device)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return outdated, nil
}

// raise returns false if there is no such cursor, or under another session.
func (tx *sqliteTx) raise(c chat.Cursor, now time.Time) (bool, error) {
	if c.Seen.IsZero() {
		c.Seen = now
	}
	rows, err := tx.exec(`UPDATE cursor SET inbox_seq = MAX(inbox_seq, ?), bcast_seq = MAX(bcast_seq, ?), seen_at = MAX(seen_at, ?)
		WHERE userid = ? AND device = ? AND session = ?`,
		int64(c.Inbox), int64(c.Broadcast), c.Seen.UnixMilli(), blob(c.User), blob(c.Device.ID), c.Session)
	return rows > 0, err
}
