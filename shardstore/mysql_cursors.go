package shardstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"multichat/internal/chat"
)

// OpenCursors looks without a lock first: most devices that ask have a row.
func (s *mysqlShard) OpenCursors(ctx context.Context, fence Fence, devices []chat.Device) ([]chat.Cursor, error) {
	cursors := make([]chat.Cursor, len(devices))
	if err := s.findCursors(ctx, devices, cursors); err != nil {
		return nil, err
	}
	missing := missingDevices(devices, cursors)
	if len(missing) == 0 {
		return cursors, nil
	}
	for part := range slices.Chunk(missing, maxList) {
		_, err := s.write(ctx, "register devices", s.cursorPacket(fence, part, time.Now()))
		switch {
		case errors.Is(err, errGuard): // the fence, or no user of the devices exists
			if err := s.whyNot(ctx, fence); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		}
	}
	return cursors, s.findCursors(ctx, devices, cursors)
}

func (s *mysqlShard) findCursors(ctx context.Context, devices []chat.Device, cursors []chat.Cursor) error {
	in, err := s.session(ctx)
	if err != nil {
		return s.unread(err)
	}
	defer in.end()
	return s.unread(findCursors(in.query, devices, cursors))
}

func missingDevices(devices []chat.Device, cursors []chat.Cursor) []chat.Device {
	var missing []chat.Device
	for i, d := range devices {
		if cursors[i] == (chat.Cursor{}) && !slices.Contains(missing, d) {
			missing = append(missing, d)
		}
	}
	return missing
}

// cursorPacket makes the rows of devices that have none. A user's first device starts where the user does, a further one
// where the most advanced of the others is; those that are then too many make room before that.
func (s *mysqlShard) cursorPacket(fence Fence, devices []chat.Device, now time.Time) *packet {
	fresh := make(map[chat.UserID]int)
	var users, perUser, wanted []any
	for _, d := range devices {
		if fresh[d.User]++; fresh[d.User] == 1 {
			users = append(users, blob(d.User))
		}
		wanted = append(wanted, blob(d.User), blob(d.ID))
	}
	for _, u := range users {
		perUser = append(perUser, u, int64(fresh[chat.UserID(u.([]byte))]))
	}
	p := s.newPacket(fence, 1, 0, users, "@found > 0")
	p.add("; DELETE c FROM `cursor` AS c JOIN ("+
		"SELECT userid, device, ROW_NUMBER() OVER (PARTITION BY userid ORDER BY seen_at DESC, device DESC) AS place "+
		"FROM `cursor` WHERE userid IN ("+marks(len(users))+")) AS others ON others.userid = c.userid AND others.device = c.device "+
		"JOIN "+table(len(users), "i", "userid", "fresh")+" AS w ON w.userid = c.userid "+
		"WHERE others.place > ? - w.fresh", slices.Concat(users, perUser, []any{int64(chat.MaxDevices)})...)
	p.add("; INSERT INTO `cursor` (userid, device, session, inbox_seq, bcast_seq, seen_at) "+
		"SELECT u.userid, w.device, 0, COALESCE(MAX(c.inbox_seq), MAX(u.inbox_from)), COALESCE(MAX(c.bcast_seq), MAX(u.bcast_from)), ? "+
		"FROM "+table(len(devices), "i", "userid", "device")+" AS w JOIN users AS u ON u.userid = w.userid "+
		"LEFT JOIN `cursor` AS c ON c.userid = w.userid "+
		"WHERE NOT EXISTS (SELECT 1 FROM `cursor` AS own WHERE own.userid = w.userid AND own.device = w.device) "+
		"GROUP BY u.userid, w.device", slices.Concat([]any{now.UnixMilli()}, wanted)...)
	return p
}

// RaiseCursors needs no fence: a cursor only rises, so one raised on a shard that its user has left does no harm. Each
// statement is a transaction of its own, and takes its rows in the order of their keys, as all do.
func (s *mysqlShard) RaiseCursors(ctx context.Context, cursors []chat.Cursor) error {
	for len(cursors) > 0 {
		n := leadingDistinct(cursors)
		text, args := raiseStatement(cursors[:n], time.Now())
		if _, err := s.execThroughDeadlocks(ctx, text, args); err != nil {
			return s.notStored("raise cursors", err)
		}
		cursors = cursors[n:]
	}
	return nil
}

// leadingDistinct is how many cursors fit one statement, which raises a row once at most.
func leadingDistinct(cursors []chat.Cursor) int {
	seen := make(map[chat.Device]bool, len(cursors))
	for i, c := range cursors {
		if seen[c.Device] || i == maxList {
			return i
		}
		seen[c.Device] = true
	}
	return len(cursors)
}

func raiseStatement(cursors []chat.Cursor, now time.Time) (text string, args []any) {
	sorted := slices.Clone(cursors)
	slices.SortFunc(sorted, func(a, b chat.Cursor) int {
		return cmp.Or(bytes.Compare(blob(a.User), blob(b.User)), bytes.Compare(blob(a.Device.ID), blob(b.Device.ID)))
	})
	for _, c := range sorted {
		if c.Seen.IsZero() {
			c.Seen = now
		}
		args = append(args, blob(c.User), blob(c.Device.ID), c.Session, int64(c.Inbox), int64(c.Broadcast), c.Seen.UnixMilli())
	}
	return "UPDATE " + table(len(sorted), "i", "userid", "device", "session", "inbox_seq", "bcast_seq", "seen_at") + " AS w " +
		"JOIN `cursor` AS c ON c.userid = w.userid AND c.device = w.device " +
		"SET c.inbox_seq = GREATEST(c.inbox_seq, w.inbox_seq), c.bcast_seq = GREATEST(c.bcast_seq, w.bcast_seq), " +
		"c.seen_at = GREATEST(c.seen_at, w.seen_at), c.session = w.session WHERE c.session <= w.session", args
}
