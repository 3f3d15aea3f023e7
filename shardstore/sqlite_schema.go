package shardstore

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"
)

func (s *sqliteShard) Migrate(ctx context.Context) error {
	version, err := s.schemaVersion(ctx)
	if err != nil || version >= schemaVersion {
		return err
	}
	// WithIsolateDDL keeps goose from beginning transactions inside that of the lock.
	return s.migrate(ctx, goose.DialectSQLite3, "migrations/sqlite", s.writer.db, goose.WithIsolateDDL(true),
		goose.WithSessionLocker(sqliteSchemaLock{s.writer}))
}

// schemaVersion is [registry.readSchema] of this file.
func (s *sqliteShard) schemaVersion(ctx context.Context) (version int, err error) {
	return s.readSchema(ctx, `SELECT COUNT(*), COUNT(*) FILTER (WHERE name IN ('goose_db_version', 'meta'))
		FROM sqlite_schema WHERE type = 'table'`, s.file+" is the database of another program: give a file of its own")
}

// sqliteSchemaLock lets one process at a time change the schema: it is SQLite's own write lock, taken for the whole
// migration. So all of it is one transaction.
type sqliteSchemaLock struct{ writer *sqliteWriter }

func (l sqliteSchemaLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	return l.writer.whileBusy(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
}

func (sqliteSchemaLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "COMMIT")
	return err
}
