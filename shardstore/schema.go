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

// migrations holds, for each kind of shard and with the same numbers, one idempotent statement a file, so that a migration that was cut off can be run again. Within a
// release they only add: a program of the release before goes on working beside them.
//
//go:embed migrations
var migrations embed.FS

// migrate runs the files of a folder that db has not seen yet.
func (r *registry) migrate(
	ctx context.Context, dialect goose.Dialect, folder string, db *sql.DB, options ...goose.ProviderOption,
) error {
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files, append(options, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return fmt.Errorf("shard %s: the migrations of this program are not in order: %w", r.name, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return r.unusable(fmt.Errorf("bring its schema up to date: %w", err))
	}
	return nil
}

// readSchema reads the schema's version, 0 of an empty database. It is an error if the database is not for this program.
// tablesText counts all tables, and those named goose_db_version and meta; foreign is what to say of another program's.
func (r *registry) readSchema(ctx context.Context, tablesText, foreign string) (version int, err error) {
	var tables, ours int
	err = each(r.query(ctx, tablesText))(func(rows *sql.Rows) error { return rows.Scan(&tables, &ours) })
	switch {
	case err != nil:
		return 0, r.unusable(err)
	case tables == 0:
		return 0, nil
	case ours == 0:
		return 0, problemf(ErrForeign, "shard %s: %s", r.name, foreign)
	case ours == 1:
		return 0, nil
	}
	version, minReader, err := readVersions(r.within(ctx))
	if err != nil {
		return 0, r.unusable(err)
	}
	if minReader > schemaVersion {
		return 0, problemf(ErrNewerSchema,
			"shard %s has schema version %d, which is for a newer multichat: this one knows versions up to %d; update it",
			r.name, version, schemaVersion)
	}
	return version, nil
}

func readVersions(query querier) (version, minReader int, err error) {
	const text = "SELECT (SELECT MAX(version_id) FROM goose_db_version), COALESCE((SELECT v FROM meta WHERE k = ?), ?)"
	err = each(query(text, blob("min_reader"), blob("0")))(func(rows *sql.Rows) error {
		var newest, least sql.RawBytes
		if err := rows.Scan(&newest, &least); err != nil {
			return err
		}
		var errs [2]error
		version, errs[0] = strconv.Atoi(string(newest))
		minReader, errs[1] = strconv.Atoi(string(least))
		return errors.Join(errs[:]...)
	})
	return version, minReader, err
}
