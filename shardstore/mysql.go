package shardstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// mysqlShard keeps a shard in one database of a MySQL or MariaDB server, which any number of processes share.
//
// Whatever changes the sequencer's row travels as one packet, see mysqlWriter: the row's lock is never held while this
// process thinks, is stopped or is cut off. Reads, and writes that need no lock but their own rows', go through a pool.
type mysqlShard struct {
	servers *mysqlServers
	pool    *sql.DB
	writer  *mysqlWriter
	number  atomic.Int64 // the shard's number and 1, once it is known
	newest  atomic.Int64 // the newest seq that this process has read or written
	registry
}

var _ Shard = (*mysqlShard)(nil)

// Pools keep all their connections, and each for a few minutes, so that a server that was given up by its peers does
// not keep clients for ever.
const mysqlConnLifetime = 3 * time.Minute

// openMySQL connects to the first of the hosts that can be written.
func openMySQL(ctx context.Context, name string, at mysqlAddress, opt Options) (*mysqlShard, error) {
	servers, err := newMySQLServers(name, at, opt)
	if err != nil {
		return nil, err
	}
	s := &mysqlShard{servers: servers, pool: sql.OpenDB(mysqlConnector{servers, mysqlReads}),
		writer: newMySQLWriter(servers)}
	s.pool.SetMaxOpenConns(max(2, opt.Readers)) // Migrate keeps one for its lock
	s.pool.SetMaxIdleConns(max(2, opt.Readers))
	s.pool.SetConnMaxLifetime(mysqlConnLifetime)
	s.registry = registry{
		reads: &reads{
			answers: answers{name, diagnoseMySQL},
			query:   s.pool.QueryContext,
			fresh:   s.session,
			unusable: func(err error) error {
				if err == nil {
					return nil
				}
				return s.openProblem(err)
			},
		},
		schema: s.schemaVersion, enrol: s.enrolOne,
	}
	if err := s.pool.PingContext(ctx); err != nil {
		return nil, errors.Join(s.openProblem(err), s.Close())
	}
	return s, nil
}

// Close waits for the write under way.
func (s *mysqlShard) Close() error {
	err := s.writer.close()
	if err != nil {
		err = fmt.Errorf("closing shard %s: %w", s.name, err)
	}
	return errors.Join(s.pool.Close(), err)
}

// errStale is a connection to a server that is behind what was read or written at another one: it was left when the
// writing went over to that, and may never catch up. What is missing there would look as if it had been deleted.
var errStale = errors.New("it is behind the host that was written")

// session is that of one connection, where each statement sees all that was committed before it, at READ COMMITTED. A
// connection to a server that was left behind is dropped.
func (s *mysqlShard) session(ctx context.Context) (session, error) {
	for tries := s.pool.Stats().MaxOpenConnections; ; tries-- {
		conn, err := s.pool.Conn(ctx)
		if err != nil {
			return session{}, err
		}
		query := func(text string, args ...any) (*sql.Rows, error) { return conn.QueryContext(ctx, text, args...) }
		seen := s.newest.Load() // before the question: what others see meanwhile says nothing of this connection
		head, err := readHead(query)
		switch {
		case err == nil && int64(head.Newest) >= seen:
			s.noteHead(head.Newest)
			return session{query: query, head: head, end: func() { conn.Close() }}, nil
		case err == nil:
			conn.Raw(func(any) error { return driver.ErrBadConn })
			err = errStale
		}
		conn.Close()
		if err != errStale || tries == 0 {
			return session{}, err
		}
	}
}

// noteHead keeps the newest seq that was seen.
func (s *mysqlShard) noteHead(newest chat.Seq) {
	for {
		seen := s.newest.Load()
		if int64(newest) <= seen || s.newest.CompareAndSwap(seen, int64(newest)) {
			return
		}
	}
}

// exec runs one statement that is a transaction of its own.
func (s *mysqlShard) exec(ctx context.Context, text string, args ...any) (rows int64, err error) {
	result, err := s.pool.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// execThroughDeadlocks is exec again for as long as a deadlock ends it, a few times.
func (s *mysqlShard) execThroughDeadlocks(ctx context.Context, text string, args []any) (rows int64, err error) {
	for try := 1; ; try++ {
		rows, err = s.exec(ctx, text, args...)
		if !isDeadlock(err) || try == deadlockTries || ctx.Err() != nil {
			return rows, err
		}
		pauseAfterDeadlock(ctx, try)
	}
}

// ownNumber is the shard's number, which never changes once it has joined.
func (s *mysqlShard) ownNumber(ctx context.Context) (chat.ShardNumber, error) {
	if known := s.number.Load(); known > 0 {
		return chat.ShardNumber(known - 1), nil
	}
	number, err := readNumber(s.within(ctx))
	if err != nil {
		return 0, err
	}
	s.number.Store(int64(number) + 1)
	return number, nil
}
