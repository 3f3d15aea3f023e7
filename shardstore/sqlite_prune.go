package shardstore

import (
	"context"
	"time"
)

// Prune looks at the oldest rows only, a window of limit seqs, since there is no index by time: seqs ascend with time
// but for the clocks of the servers. A row with a date in the future stays until its day comes and delays nobody else.
func (s *sqliteShard) Prune(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	err = s.write(ctx, "delete old messages", func(tx *sqliteTx) error {
		messages, err := tx.exec(`DELETE FROM inbox WHERE seq IN
			(SELECT seq FROM (SELECT seq, sent_ms FROM inbox ORDER BY seq LIMIT ?) WHERE sent_ms < ?)`,
			limit, before.UnixMilli())
		deleted = int(messages)
		return err
	})
	return deleted, err
}

// ForgetDevices walks the table, which has a row per device and is small beside the messages.
func (s *sqliteShard) ForgetDevices(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	err = s.write(ctx, "forget devices", func(tx *sqliteTx) error {
		devices, err := tx.exec(`DELETE FROM cursor WHERE (userid, device) IN
			(SELECT userid, device FROM cursor WHERE seen_at < ? LIMIT ?)`, before.UnixMilli(), limit)
		deleted = int(devices)
		return err
	})
	return deleted, err
}
