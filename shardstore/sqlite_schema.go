package shardstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/pressly/goose/v3"
)

// schemaVersion is the number of the newest file in migrations, which this program understands.
const schemaVersion = 8

// migrations holds one idempotent statement a file, so that a migration that was cut off can be run again. Within a
// release they only add: a program of the release before goes on working beside them.
//
//go:embed migrations
var migrations embed.FS

func (s *sqliteShard) Migrate(ctx context.Context) error {
	version, err := s.schemaVersion(ctx)
	if err != nil || version >= schemaVersion {
		return err
	}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	// WithIsolateDDL keeps goose from beginning transactions inside that of the lock.
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer.db, files, goose.WithIsolateDDL(true),
		goose.WithSessionLocker(sqliteSchemaLock{s.writer}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("shard %s: the migrations of this program are not in order: %w", s.name, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return openProblem(s.name, s.file, fmt.Errorf("bring its schema up to date: %w", err))
	}
	return nil
}

// schemaVersion reads the schema's version, 0 of an empty database. It is an error if the database is not for this program.
func (s *sqliteShard) schemaVersion(ctx context.Context) (version int, err error) {
	var tables, ours int
	var least, newest sql.RawBytes
	err = each(s.query(ctx, `SELECT COUNT(*), COUNT(*) FILTER (WHERE name IN ('goose_db_version', 'meta'))
		FROM sqlite_schema WHERE type = 'table'`))(func(rows *sql.Rows) error { return rows.Scan(&tables, &ours) })
	switch {
	case err != nil:
		return 0, openProblem(s.name, s.file, err)
	case tables == 0:
		return 0, nil
	case ours == 0:
		return 0, problemf(ErrForeign, "shard %s: %s is the database of another program: give a file of its own", s.name, s.file)
	case ours == 1:
		return 0, nil
	}
	minReader := 0
	err = each(s.query(ctx, `SELECT (SELECT MAX(version_id) FROM goose_db_version),
		COALESCE((SELECT v FROM meta WHERE k = CAST('min_reader' AS BLOB)), CAST('0' AS BLOB))`))(
		func(rows *sql.Rows) error {
			if err := rows.Scan(&newest, &least); err != nil {
				return err
			}
			var errs [2]error
			version, errs[0] = strconv.Atoi(string(newest))
			minReader, errs[1] = strconv.Atoi(string(least))
			return errors.Join(errs[:]...)
		})
	if err != nil {
		return 0, openProblem(s.name, s.file, err)
	}
	if minReader > schemaVersion {
		return 0, problemf(ErrNewerSchema,
			"shard %s has schema version %d, which is for a newer multichat: this one knows versions up to %d; update it",
			s.name, version, schemaVersion)
	}
	return version, nil
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
