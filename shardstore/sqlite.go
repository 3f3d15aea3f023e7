package shardstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"multichat/internal/chat"
)

// sqliteShard keeps a shard in one SQLite file that any number of processes may share.
//
// Everything is in WAL mode with synchronous=FULL: a commit that was reported has been synced. Readers see the newest
// commit whenever they start a statement, and never wait for a writer.
type sqliteShard struct {
	file    string
	readers *sql.DB
	cached  sync.Map // statement text -> *sql.Stmt; the texts are few, see listSize
	writer  *sqliteWriter
	registry
}

var _ Shard = (*sqliteShard)(nil)

// openSQLite opens the file. Only with create may it be missing.
func openSQLite(ctx context.Context, name, file string, create bool, opt Options) (*sqliteShard, error) {
	isNew, err := checkFile(name, file, create)
	if err != nil {
		return nil, err
	}
	readers, err := sql.Open("sqlite", sqliteDSN(file, false, opt.Patience)+"&_query_only=1")
	if err != nil {
		return nil, openProblem(name, file, err)
	}
	readers.SetMaxOpenConns(opt.Readers)
	readers.SetMaxIdleConns(opt.Readers)
	writes, err := sql.Open("sqlite", sqliteDSN(file, create, 0))
	if err != nil {
		readers.Close()
		return nil, openProblem(name, file, err)
	}
	s := &sqliteShard{file: file, readers: readers, writer: newSQLiteWriter(writes, opt.Patience)}
	s.registry = registry{
		reads: &reads{
			answers: answers{name, diagnoseSQLite},
			query:   s.prepared,
			fresh:   s.session,
			unusable: func(err error) error {
				if err == nil {
					return nil
				}
				return openProblem(name, file, err)
			},
		},
		schema: s.schemaVersion, enrol: s.enrolOne,
	}
	if err := s.prepareFile(ctx, isNew); err != nil {
		s.Close()
		return nil, openProblem(name, file, err)
	}
	return s, nil
}

// prepareFile puts the file into the state that everything else relies on, unless it is another program's.
func (s *sqliteShard) prepareFile(ctx context.Context, isNew bool) error {
	if !isNew {
		if _, err := s.schemaVersion(ctx); err != nil {
			return err
		}
		return s.useWAL(ctx)
	}
	if err := s.useWAL(ctx); err != nil {
		return err
	}
	// Messages and password hashes are nobody else's. The files of the WAL take the mode over.
	return os.Chmod(s.file, 0o600)
}

// Close waits for the transaction under way, see [sqliteWriter.close].
func (s *sqliteShard) Close() error {
	s.cached.Range(func(_, stmt any) bool {
		stmt.(*sql.Stmt).Close()
		return true
	})
	err := s.readers.Close()
	if busy := s.writer.close(); busy != nil {
		err = errors.Join(err, fmt.Errorf("closing shard %s: %w", s.name, busy))
	}
	return err
}

// sqliteDSN is the driver's name for a file. The path is escaped, since a ? or # in it would end it. patience is how long
// SQLite itself waits for a lock.
func sqliteDSN(file string, create bool, patience time.Duration) string {
	mode := "rw"
	if create {
		mode = "rwc"
	}
	return fmt.Sprintf("file:%s?mode=%s&_pragma=busy_timeout(%d)&_pragma=synchronous(FULL)",
		(&url.URL{Path: filepath.ToSlash(file)}).EscapedPath(), mode, patience.Milliseconds())
}

// checkFile finds what is wrong with a path before SQLite says "unable to open database file" to all of it.
func checkFile(name, file string, create bool) (missing bool, err error) {
	info, err := os.Stat(file)
	switch {
	case err == nil && info.IsDir():
		return false, problemf(ErrSpec, "shard %s: %s is a folder: name a file in it", name, file)
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, openProblem(name, file, err)
	}
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return true, problemf(ErrSpec, "shard %s: there is no folder %s: make it, or mend the path", name, filepath.Dir(file))
	}
	if !create {
		return true, problemf(ErrNotInitialised,
			"shard %s: there is no %s: mend the path, or make the shard with `multichat shard init`", name, file)
	}
	return true, nil
}

// useWAL puts the file into WAL mode, which lasts.
func (s *sqliteShard) useWAL(ctx context.Context) error {
	return s.writer.whileBusy(ctx, func() error {
		var mode string
		err := s.writer.db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		if err == nil && mode != "wal" {
			err = fmt.Errorf("it stays in journal mode %q, and WAL is needed: use a local file system", mode)
		}
		return err
	})
}

// session may use any connections: every statement on a SQLite file begins at its newest commit.
func (s *sqliteShard) session(ctx context.Context) (session, error) {
	head, err := readHead(s.within(ctx))
	return session{query: s.within(ctx), head: head, end: func() {}}, err
}

// enrolOne is write for the registry.
func (s *sqliteShard) enrolOne(ctx context.Context, doing string, f func(enrolment) error) error {
	err := s.write(ctx, doing, func(tx *sqliteTx) error { return f(tx) })
	if e, ok := errors.AsType[*chat.Error](err); ok {
		return problemf(ErrUnreachable, "%w", errors.Unwrap(e))
	}
	return err
}

// prepared runs a read whose text is one of few.
func (s *sqliteShard) prepared(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if stmt, ok := s.cached.Load(text); ok {
		return stmt.(*sql.Stmt).QueryContext(ctx, args...)
	}
	stmt, err := s.readers.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if first, taken := s.cached.LoadOrStore(text, stmt); taken {
		stmt.Close()
		stmt = first.(*sql.Stmt)
	}
	return stmt.QueryContext(ctx, args...)
}
