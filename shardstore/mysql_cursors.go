package shardstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
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
		p := s.registration(fence, part)
		p.makeCursors(part, noSession, faults.Now())
		_, err := s.write(ctx, "register devices", p)
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

// registration is a packet that makes cursors, if any of the devices has a user.
func (s *mysqlShard) registration(fence Fence, devices []chat.Device) *packet {
	users, _ := usersOf(devices)
	return s.newPacket(fence, 1, 0, users, "> 0")
}

// usersOf are the users of devices, once each, and how many devices each has.
func usersOf(devices []chat.Device) (users []any, count map[chat.UserID]int) {
	count = make(map[chat.UserID]int)
	for _, d := range devices {
		if count[d.User]++; count[d.User] == 1 {
			users = append(users, blob(d.User))
		}
	}
	return users, count
}

// noSession is what a device has that is opened without a login.
func noSession(int) int64 { return 0 }

// makeCursors makes the rows of devices that have none; sessionOf is the session of the i-th. A user's first device starts
// where the user does, a further one where the most advanced of the others is; those that are then too many make room before
// that.
func (p *packet) makeCursors(devices []chat.Device, sessionOf func(i int) int64, now time.Time) {
	users, fresh := usersOf(devices)
	var perUser, wanted []any
	for _, u := range users {
		perUser = append(perUser, u, int64(fresh[chat.UserID(u.([]byte))]))
	}
	for i, d := range devices {
		wanted = append(wanted, blob(d.User), blob(d.ID), sessionOf(i))
	}
	p.add("; DELETE c FROM `cursor` AS c JOIN ("+
		"SELECT userid, device, ROW_NUMBER() OVER (PARTITION BY userid ORDER BY seen_at DESC, device DESC) AS place "+
		"FROM `cursor` WHERE userid IN ("+marks(len(users))+")) AS others ON others.userid = c.userid AND others.device = c.device "+
		"JOIN "+table(len(users), "i", "userid", "fresh")+" AS w ON w.userid = c.userid "+
		"WHERE others.place > ? - w.fresh", slices.Concat(users, perUser, []any{int64(chat.MaxDevices)})...)
	p.add("; INSERT INTO `cursor` (userid, device, session, inbox_seq, bcast_seq, seen_at) "+
		"SELECT u.userid, w.device, w.session, "+
		"COALESCE(MAX(c.inbox_seq), MAX(u.inbox_from)), COALESCE(MAX(c.bcast_seq), MAX(u.bcast_from)), ? "+
		"FROM "+table(len(devices), "i", "userid", "device", "session")+" AS w JOIN users AS u ON u.userid = w.userid "+
		"LEFT JOIN `cursor` AS c ON c.userid = w.userid "+
		"WHERE NOT EXISTS (SELECT 1 FROM `cursor` AS own WHERE own.userid = w.userid AND own.device = w.device) "+
		"GROUP BY u.userid, w.device, w.session", slices.Concat([]any{now.UnixMilli()}, wanted)...)
}

// RaiseCursors needs no fence: a cursor only rises, so one raised on a shard that its user has left does no harm. Each
// statement is a transaction of its own, and takes its rows in the order of their keys, as all do.
func (s *mysqlShard) RaiseCursors(ctx context.Context, cursors []chat.Cursor) (outdated []chat.Device, err error) {
	for len(cursors) > 0 {
		n := leadingDistinct(cursors, func(c chat.Cursor) chat.Device { return c.Device })
		found, err := s.raise(ctx, cursors[:n])
		if err != nil {
			return nil, s.notStored("raise cursors", err)
		}
		for _, d := range found {
			if !slices.Contains(outdated, d) {
				outdated = append(outdated, d)
			}
		}
		cursors = cursors[n:]
	}
	return outdated, nil
}

// leadingDistinct is how many of a list fit one statement, which changes a row once at most.
func leadingDistinct[T any](list []T, deviceOf func(T) chat.Device) int {
	seen := make(map[chat.Device]bool, len(list))
	for i, of := range list {
		d := deviceOf(of)
		if seen[d] || i == maxList {
			return i
		}
		seen[d] = true
	}
	return len(list)
}

// raise raises the cursors of devices that are all different, and returns those that are outdated.
func (s *mysqlShard) raise(ctx context.Context, cursors []chat.Cursor) (outdated []chat.Device, err error) {
	text, args := raiseStatement(cursors, faults.Now())
	changed, err := s.execThroughDeadlocks(ctx, text, args)
	if err != nil || changed == int64(len(cursors)) || !slices.ContainsFunc(cursors, hasSession) {
		return nil, err
	}
	// The others are outdated, or as they were: rows that an UPDATE leaves as they are it does not count.
	return s.outdated(ctx, cursors, text, args)
}

func hasSession(c chat.Cursor) bool { return c.Session != 0 }

// outdated are the devices with a session whose row has another one, or is gone. It runs the raise once more, on the
// connection that it asks: one to a host that was left behind would tell of sessions that have ended long ago, but it
// refuses to be written.
func (s *mysqlShard) outdated(ctx context.Context, cursors []chat.Cursor, raise string, args []any) ([]chat.Device, error) {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, raise, args...); err != nil {
		return nil, err
	}
	size := listSize(len(cursors))
	args = make([]any, 0, 3*size)
	for _, c := range cursors {
		args = append(args, blob(c.User), blob(c.Device.ID), c.Session)
	}
	var found []int
	err = each(conn.QueryContext(ctx, outdatedText(size), pad(args, cap(args))...))(func(rows *sql.Rows) error {
		var i int
		err := rows.Scan(&i)
		found = append(found, i)
		return err
	})
	slices.Sort(found)
	devices := make([]chat.Device, len(found))
	for k, i := range found {
		devices[k] = cursors[i].Device
	}
	return devices, err
}

// outdatedText asks from the list, not from the rows, so that it also finds what is gone. What pads the list has no session.
var outdatedText = textsBySize(func(size int) string {
	return "SELECT w.i FROM " + table(size, "i", "userid", "device", "session") + " AS w " +
		"LEFT JOIN `cursor` AS c ON c.userid = w.userid AND c.device = w.device " +
		"WHERE w.session <> 0 AND (c.session IS NULL OR c.session <> w.session)"
})

func raiseStatement(cursors []chat.Cursor, now time.Time) (text string, args []any) {
	sorted := slices.Clone(cursors)
	slices.SortFunc(sorted, func(a, b chat.Cursor) int { return byKey(a.Device, b.Device) })
	for _, c := range sorted {
		if c.Seen.IsZero() {
			c.Seen = now
		}
		args = append(args, blob(c.User), blob(c.Device.ID), c.Session, int64(c.Inbox), int64(c.Broadcast), c.Seen.UnixMilli())
	}
	return "UPDATE " + table(len(sorted), "i", "userid", "device", "session", "inbox_seq", "bcast_seq", "seen_at") + " AS w " +
		"JOIN `cursor` AS c ON c.userid = w.userid AND c.device = w.device " +
		"SET c.inbox_seq = GREATEST(c.inbox_seq, w.inbox_seq), c.bcast_seq = GREATEST(c.bcast_seq, w.bcast_seq), " +
		"c.seen_at = GREATEST(c.seen_at, w.seen_at) WHERE c.session = w.session", args
}

// byKey is the order of the rows: bytes of the user, then of the device.
func byKey(a, b chat.Device) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.ID, b.ID)) }
