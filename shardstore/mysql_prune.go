package shardstore

import (
	"context"
	"database/sql"
	"time"
)

// Prune finds the end of the window of the oldest rows first, so that the DELETE looks at no others: see the SQLite
// shard's.
func (s *mysqlShard) Prune(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	var last sql.NullInt64
	err = each(s.query(ctx, "SELECT MAX(seq) FROM (SELECT seq FROM inbox ORDER BY seq LIMIT ?) AS w", limit))(
		func(rows *sql.Rows) error { return rows.Scan(&last) })
	if err != nil || !last.Valid {
		return 0, s.unread(err)
	}
	return s.delete(ctx, "delete old messages", "DELETE FROM inbox WHERE seq <= ? AND sent_ms < ?",
		last.Int64, before.UnixMilli())
}

// ForgetDevices walks the table, which has a row per device and is small beside the messages.
func (s *mysqlShard) ForgetDevices(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	return s.delete(ctx, "forget devices", "DELETE FROM `cursor` WHERE seen_at < ? LIMIT ?", before.UnixMilli(), limit)
}

// delete runs a statement whose outcome need not be known: what is not deleted now is deleted the next time.
func (s *mysqlShard) delete(ctx context.Context, doing, text string, args ...any) (deleted int, err error) {
	rows, err := s.exec(ctx, text, args...)
	return int(rows), s.notStored(doing, err)
}
