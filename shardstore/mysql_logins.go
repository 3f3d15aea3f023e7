package shardstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// LoginDevices begins the sessions of devices that have rows, which are most, by one packet, and makes the rows of the
// others by a second one. A session is read in the packet that began it: right after it, another one may have begun.
func (s *mysqlShard) LoginDevices(ctx context.Context, fence Fence, logins []chat.Login) ([]chat.Cursor, error) {
	var cursors []chat.Cursor
	for len(logins) > 0 {
		n := leadingDistinct(logins, func(l chat.Login) chat.Device { return l.Device })
		part := logins[:n]
		logins = logins[n:]
		found, err := s.writeLogins(ctx, fence, part, false)
		if err != nil {
			return nil, err
		}
		if err := s.loginMissing(ctx, fence, part, found); err != nil {
			return nil, err
		}
		cursors = append(cursors, found...)
	}
	return cursors, nil
}

// loginMissing fills in the cursors that are zero, but for devices whose user does not exist.
func (s *mysqlShard) loginMissing(ctx context.Context, fence Fence, logins []chat.Login, cursors []chat.Cursor) error {
	var missing []chat.Login
	var places []int
	for i, c := range cursors {
		if c == (chat.Cursor{}) {
			missing, places = append(missing, logins[i]), append(places, i)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	made, err := s.writeLogins(ctx, fence, missing, true)
	for i, c := range made {
		cursors[places[i]] = c
	}
	return err
}

// writeLogins begins the sessions of devices that are all different, and returns the cursors of those that have one. With
// register those that have none get one, in their first session.
func (s *mysqlShard) writeLogins(
	ctx context.Context, fence Fence, logins []chat.Login, register bool,
) ([]chat.Cursor, error) {
	devices := make([]chat.Device, len(logins))
	for i, l := range logins {
		devices[i] = l.Device
	}
	now := faults.Now()
	var p *packet
	if register {
		p = s.registration(fence, devices)
	} else {
		p = s.newPacket(fence, 0, 0, nil, "")
	}
	p.beginSessions(logins, now)
	if register {
		first := func(i int) int64 { return chat.NextSession(0, logins[i].Nonce) }
		p.makeCursors(devices, first, now)
	}
	cursors := make([]chat.Cursor, len(logins))
	text, args := cursorsQuestion(devices)
	p.add("; "+text, args...)
	p.row = scanCursor(devices, cursors)
	_, err := s.write(ctx, "log devices in", p)
	if errors.Is(err, errGuard) { // the fence, or no user of the devices exists
		return make([]chat.Cursor, len(logins)), s.whyNot(ctx, fence)
	}
	return cursors, err
}

// beginSessions is NextSession in the words of MySQL, where bit operators make numbers unsigned, which division does not.
// It takes the rows in the order of their keys, as all do.
func (p *packet) beginSessions(logins []chat.Login, now time.Time) {
	sorted := slices.Clone(logins)
	slices.SortFunc(sorted, func(a, b chat.Login) int { return byKey(a.Device, b.Device) })
	const nonces = int64(1) << chat.SessionNonceBits
	var args []any
	for _, l := range sorted {
		takeOver := int64(0)
		if l.TakeOver {
			takeOver = 1
		}
		args = append(args, blob(l.User), blob(l.Device.ID), int64(l.Nonce), takeOver)
	}
	p.add("; UPDATE "+table(len(sorted), "i", "userid", "device", "nonce", "take_over")+" AS w "+
		"JOIN `cursor` AS c ON c.userid = w.userid AND c.device = w.device "+
		"SET c.session = (c.session DIV ? + 1) * ? + w.nonce, c.seen_at = GREATEST(c.seen_at, ?) "+
		"WHERE w.take_over = 0 OR c.session MOD ? = w.nonce", slices.Concat(args, []any{nonces, nonces, now.UnixMilli(), nonces})...)
}
