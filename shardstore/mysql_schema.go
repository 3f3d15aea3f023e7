package shardstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/pressly/goose/v3"

	"multichat/internal/chat"
)

func (s *mysqlShard) Migrate(ctx context.Context) error {
	version, err := s.schemaVersion(ctx)
	if err != nil || version >= schemaVersion {
		return err
	}
	// The lock is held around all that goose does. A locker given to goose is not: goose first looks whether anything is
	// to be done, and fails when it sees its table as another process has just made it, still empty.
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return s.openProblem(err)
	}
	defer conn.Close()
	if err := s.lockSchema(ctx, conn); err != nil {
		return s.openProblem(err)
	}
	defer s.unlockSchema(ctx, conn)
	return s.migrate(ctx, goose.DialectMySQL, "migrations/mysql", s.pool)
}

// schemaVersion is [registry.readSchema] of this database.
func (s *mysqlShard) schemaVersion(ctx context.Context) (version int, err error) {
	return s.readSchema(ctx, `SELECT COUNT(*), COALESCE(SUM(table_name IN ('goose_db_version', 'meta')), 0)
		FROM information_schema.tables WHERE table_schema = DATABASE()`,
		"database "+s.servers.database+" is that of another program: give one of its own")
}

// schemaLock is the name of the lock that lets one process at a time change the schema. It is one for each database: the
// names are the whole server's, and have 64 bytes at most.
func (s *mysqlShard) schemaLock() string {
	return fmt.Sprintf("multichat schema %x", sha256.Sum256([]byte(s.servers.database)))[:64]
}

// lockSchema waits for the lock until ctx ends, in steps that a connection's own timeout allows.
func (s *mysqlShard) lockSchema(ctx context.Context, conn *sql.Conn) error {
	for {
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 1)", s.schemaLock()).Scan(&got); err != nil {
			return fmt.Errorf("wait for others who change the schema: %w", err)
		}
		if got.Int64 == 1 {
			return nil
		}
	}
}

// unlockSchema gives the lock back. If that fails, the end of the connection does.
func (s *mysqlShard) unlockSchema(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK(?)", s.schemaLock()); err != nil {
		conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// mysqlTx is a transaction of several packets, for what is done once: setting a shard up.
type mysqlTx struct {
	ctx context.Context
	tx  *sql.Tx
}

func (t mysqlTx) query(text string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, text, args...)
}

func (t mysqlTx) exec(text string, args ...any) (rows int64, err error) {
	result, err := t.tx.ExecContext(t.ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// enrolOne keeps other enrolments out by the lock of a row of meta that is always there.
func (s *mysqlShard) enrolOne(ctx context.Context, doing string, f func(enrolment) error) error {
	tx, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return s.openProblem(err)
	}
	defer tx.Rollback() // of what is not committed
	t := mysqlTx{ctx, tx}
	err = each(t.query("SELECT v FROM meta WHERE k = ? FOR UPDATE", blob("min_reader")))(
		func(*sql.Rows) error { return nil })
	if err == nil {
		err = f(t)
	}
	if err == nil {
		err = tx.Commit()
	}
	if _, ok := err.(*chat.Error); ok || err == nil {
		return err
	}
	return s.openProblem(fmt.Errorf("%s: %w", doing, err))
}
