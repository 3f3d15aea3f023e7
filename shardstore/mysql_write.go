package shardstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"multichat/internal/chat"
)

// mysqlWriter is this process's one connection that changes the shard's sequencer. Writes take turns on it.
type mysqlWriter struct {
	db   *sql.DB
	turn chan struct{} // one slot; whoever has filled it may write
}

const (
	// mysqlMaxPacket bounds what is sent at once. Servers that take less are refused.
	mysqlMaxPacket = 4 << 20

	// writerIdle is below the server's own patience with a writer.
	writerIdle = time.Second

	// deadlockTries is how often a write is tried that a deadlock ended. Another of those who met in it went on.
	deadlockTries = 5
)

func newMySQLWriter(servers *mysqlServers) *mysqlWriter {
	db := sql.OpenDB(mysqlConnector{servers, mysqlWrites})
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(writerIdle)
	db.SetConnMaxLifetime(mysqlConnLifetime)
	return &mysqlWriter{db: db, turn: make(chan struct{}, 1)}
}

func (w *mysqlWriter) close() error {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
		return w.db.Close()
	case <-time.After(closeTime):
	}
	return errors.Join(w.db.Close(), fmt.Errorf("a write has not ended within %v; see whether its server hangs", closeTime))
}

// packet is a transaction that travels as a whole. It takes seqs from the sequencer, under the fence, and goes on only if
// its condition holds, and nothing is above the seqs that it has taken, neither there nor among what this process has seen:
//
//	BEGIN;
//	UPDATE shard SET counter = IF(map_epoch = …, LAST_INSERT_ID(counter + …), counter + LAST_INSERT_ID(0)) …;   0 if fenced
//	INSERT INTO meta (k, v) SELECT NULL, '' FROM DUAL WHERE (LAST_INSERT_ID() > 0 AND …) IS NOT TRUE;   error 1048 if so
//	…;
//	COMMIT
//
// Without the shard's row the UPDATE does nothing, and LAST_INSERT_ID() is what an earlier one has left, so the row is looked for.
// Each statement is answered by itself, which costs both ends as much as a small statement does: so they are few.
// From the first UPDATE to the COMMIT the sequencer's row is locked, so that what is found still holds when the rest
// is written, and seqs become visible in their order.
type packet struct {
	text strings.Builder
	args []any // as the driver takes them: int64 and []byte

	// row takes the rows of the packet's SELECT, if it has one; its only one, since what a SELECT gives is sent while the
	// sequencer's row is locked: so little that the server need not wait for this process to read it. Rows count only
	// once the packet has been committed.
	row func(*sql.Rows) error
}

// newPacket begins a transaction that takes n seqs. bump is 1 for a change of users, else 0. Of the users that are asked for,
// if any are, the number that there are must be as found says: "= 2".
func (s *mysqlShard) newPacket(fence Fence, n, bump int, asked []any, found string) *packet {
	p := new(packet)
	p.add("BEGIN; UPDATE shard SET counter = IF(map_epoch = ?, LAST_INSERT_ID(counter + ?), counter + LAST_INSERT_ID(0)), "+
		"user_rev = user_rev + ? WHERE id = 1", fence.Epoch, int64(n), int64(bump))
	p.add("; INSERT INTO meta (k, v) SELECT NULL, '' FROM DUAL WHERE (LAST_INSERT_ID() > 0 AND EXISTS (SELECT 1 FROM shard WHERE id = 1)")
	if len(asked) > 0 {
		p.add(" AND (SELECT COUNT(*) FROM users WHERE userid IN ("+marks(len(asked))+")) "+found, asked...)
	}
	p.add(" AND GREATEST(COALESCE((SELECT MAX(seq) FROM inbox), 0), ?) < (CAST(LAST_INSERT_ID() AS SIGNED) - ?) * ?) IS NOT TRUE",
		s.newest.Load(), int64(n-1), int64(chat.MaxShards))
	return p
}

func (p *packet) add(text string, args ...any) {
	p.text.WriteString(text)
	p.args = append(p.args, args...)
}

// values numbers arguments as the driver wants them.
func values(args []any) []driver.NamedValue {
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return named
}

// What the server says to a packet, beside what notStored and perhapsStored tell. Nothing was written.
var (
	errGuard     = errors.New("the fence or the condition of a write did not hold")
	errDuplicate = errors.New("a key is there already")
)

// write sends a packet, and returns the counter after the seqs that it took. errGuard and errDuplicate are returned bare.
func (s *mysqlShard) write(ctx context.Context, doing string, p *packet) (counter int64, err error) {
	select {
	case s.writer.turn <- struct{}{}:
		defer func() { <-s.writer.turn }()
	case <-ctx.Done():
		return 0, s.notStored(doing, ctx.Err())
	}
	p.add("; COMMIT")
	for try := 1; ; try++ {
		conn, err := s.writer.db.Conn(ctx)
		if err != nil {
			return 0, s.notStored(doing, err)
		}
		unsent := ctx.Err() != nil // then the driver sends nothing either
		counter, err = p.send(ctx, conn)
		conn.Close()
		switch {
		case err == nil:
			return counter, nil
		case isDeadlock(err) && try < deadlockTries && ctx.Err() == nil:
			pauseAfterDeadlock(ctx, try)
			continue
		}
		s.servers.blame(err)
		if known := verdict(err); known != nil {
			return 0, known
		}
		if unsent || beforeCommit(err) {
			return 0, s.notStored(doing, err)
		}
		return 0, s.perhapsStored(doing, err)
	}
}

// send gives a transaction to a connection. Whatever error comes, the transaction is over when send returns: rolled back,
// or its connection closed. One that has a SELECT does not tell the counter.
func (p *packet) send(ctx context.Context, conn *sql.Conn) (counter int64, err error) {
	if p.row == nil {
		counter, err = p.exec(ctx, conn)
	} else {
		err = p.ask(ctx, conn)
	}
	if err == nil {
		return counter, nil
	}
	conn.Raw(func(dc any) error {
		if _, rollback := dc.(driver.ExecerContext).ExecContext(ctx, "ROLLBACK", nil); rollback != nil || isReadOnly(err) {
			return driver.ErrBadConn // drops the connection
		}
		return nil
	})
	return 0, err
}

func (p *packet) exec(ctx context.Context, conn *sql.Conn) (counter int64, err error) {
	raw := conn.Raw(func(dc any) error {
		var result driver.Result
		if result, err = dc.(driver.ExecerContext).ExecContext(ctx, p.text.String(), values(p.args)); err == nil {
			// BEGIN comes before the statement that told the counter.
			counter = result.(mysql.Result).AllLastInsertIds()[1]
		}
		return nil // a connection with an error is not dropped yet
	})
	if err == nil {
		err = raw
	}
	return counter, err
}

// ask reads to the answer to COMMIT, which comes after the rows.
func (p *packet) ask(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, p.text.String(), p.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := p.row(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.NextResultSet() // there is none
	return rows.Err()
}

// pauseAfterDeadlock lets those who met go on at different times.
func pauseAfterDeadlock(ctx context.Context, try int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(try) * (time.Millisecond + rand.N(5*time.Millisecond))):
	}
}
