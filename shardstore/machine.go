package shardstore

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"multichat/internal/faults"
)

func (s *sqliteShard) machine(ctx context.Context) (m machine, err error) {
	err = each(s.query(ctx, "SELECT sqlite_version(), COUNT(*) FROM inbox"))(
		func(rows *sql.Rows) error { return rows.Scan(&m.version, &m.messages) })
	if err != nil {
		return m, s.unusable(err)
	}
	m.version = "SQLite " + m.version
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(s.file + suffix); err == nil {
			m.bytes += info.Size()
		}
	}
	return m, nil
}

// clock is this machine's: a file has none of its own.
func (s *sqliteShard) clock(context.Context) (time.Duration, error) { return 0, nil }

// countedBelow is how many rows are counted; a table that is said to have more is taken at its word.
const countedBelow = 1 << 20

func (s *mysqlShard) machine(ctx context.Context) (m machine, err error) {
	in, err := s.session(ctx)
	if err != nil {
		return m, s.unusable(err)
	}
	defer in.end()
	query := in.query
	if m.clock, err = readClock(query); err != nil {
		return m, s.unusable(err)
	}
	state := make(map[string]string)
	err = each(query(serverVariables))(func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		state[name] = value
		return err
	})
	if err != nil {
		return m, s.unusable(err)
	}
	m.version, m.lacks = serverVersion(state["version"]), nondurable(state)
	if m.messages, m.bytes, err = readSizes(query); err != nil {
		return m, s.unusable(err)
	}
	return m, nil
}

func (s *mysqlShard) clock(ctx context.Context) (time.Duration, error) {
	in, err := s.session(ctx)
	if err != nil {
		return 0, s.unusable(err)
	}
	defer in.end()
	ahead, err := readClock(in.query)
	if err != nil {
		return 0, s.unusable(err)
	}
	return ahead, nil
}

func serverVersion(version string) string {
	if number, _, ok := strings.Cut(version, "-MariaDB"); ok {
		return "MariaDB " + number
	}
	number, _, _ := strings.Cut(version, "-")
	return "MySQL " + number
}

// readClock takes half of the time that the question took for the way back.
func readClock(query querier) (ahead time.Duration, err error) {
	before := time.Now()
	var text string
	err = each(query("SELECT UNIX_TIMESTAMP(NOW(6))"))(func(rows *sql.Rows) error { return rows.Scan(&text) })
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the server's clock: %w", err)
	}
	took := time.Since(before)
	there := time.UnixMicro(int64(seconds * 1e6))
	return there.Sub(faults.Now().Add(-took / 2)), nil
}

// readSizes asks the server what it believes. MySQL may believe for a day what it saw last, unless it is told not to;
// MariaDB takes that for a comment.
func readSizes(query querier) (messages, bytes int64, err error) {
	err = each(query("SET @ignored = 0 /*!80000 , SESSION information_schema_stats_expiry = 0 */"))(
		func(*sql.Rows) error { return nil })
	if err != nil {
		return 0, 0, err
	}
	const text = `SELECT COALESCE(SUM(IF(table_name = 'inbox', table_rows, 0)), 0), COALESCE(SUM(data_length + index_length), 0)
		FROM information_schema.tables WHERE table_schema = DATABASE()`
	err = each(query(text))(func(rows *sql.Rows) error { return rows.Scan(&messages, &bytes) })
	if err != nil || messages >= countedBelow {
		return messages, bytes, err
	}
	err = each(query("SELECT COUNT(*) FROM inbox"))(func(rows *sql.Rows) error { return rows.Scan(&messages) })
	return messages, bytes, err
}
