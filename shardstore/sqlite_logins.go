package shardstore

import (
	"context"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// LoginDevices begins the sessions in one transaction, one after another, so that a device may be there twice.
func (s *sqliteShard) LoginDevices(ctx context.Context, fence Fence, logins []chat.Login) ([]chat.Cursor, error) {
	if len(logins) == 0 {
		return nil, nil
	}
	cursors := make([]chat.Cursor, len(logins))
	err := s.write(ctx, "log devices in", func(tx *sqliteTx) error {
		if err := tx.enter(fence); err != nil {
			return err
		}
		now, anyMade := faults.Now(), false
		for i, l := range logins {
			if err := findCursors(tx.query, []chat.Device{l.Device}, cursors[i:i+1]); err != nil {
				return err
			}
			var err error
			if cursors[i] != (chat.Cursor{}) {
				cursors[i], err = tx.beginSession(l, cursors[i], now)
			} else {
				cursors[i], err = tx.makeCursor(l.Device, chat.NextSession(0, l.Nonce), now, !anyMade)
				anyMade = anyMade || cursors[i] != (chat.Cursor{})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return cursors, nil
}

// beginSession returns the cursor c as it is after the login; unchanged if another stream has the device.
func (tx *sqliteTx) beginSession(l chat.Login, c chat.Cursor, now time.Time) (chat.Cursor, error) {
	if l.TakeOver && !l.Has(c.Session) {
		return c, nil
	}
	c.Session = chat.NextSession(c.Session, l.Nonce)
	if now.After(c.Seen) {
		c.Seen = time.UnixMilli(now.UnixMilli())
	}
	_, err := tx.exec("UPDATE cursor SET session = ?, seen_at = ? WHERE userid = ? AND device = ?",
		c.Session, c.Seen.UnixMilli(), blob(l.User), blob(l.Device.ID))
	return c, err
}
