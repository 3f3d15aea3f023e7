package shardstore

import (
	"context"
	"errors"
	"io/fs"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// openProblem is what a person reads when a file cannot be used as a shard.
func openProblem(name, file string, err error) error {
	if sqliteCode(err) == sqlite3.SQLITE_NOTADB {
		return problemf(ErrForeign, "shard %s: %s is not a SQLite database: mend the path, or move the file away", name, file)
	}
	if already, ok := errors.AsType[*problem](err); ok {
		return already
	}
	kind := ErrUnreachable
	switch sqliteCode(err) {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN:
		kind = ErrRefused
	case sqlite3.SQLITE_CORRUPT:
		kind = ErrNotFit
	}
	if errors.Is(err, fs.ErrPermission) {
		kind = ErrRefused
	}
	return problemf(kind, "shard %s: %s cannot be used: %s: %w", name, file, diagnoseSQLite(err).remedy, err)
}

func diagnoseSQLite(err error) diagnosis {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return diagnosis{"does not answer", "the time for it ran out"}
	case errors.Is(err, context.Canceled):
		return diagnosis{"was not waited for", "it was called off"}
	case errors.Is(err, fs.ErrPermission):
		return diagnosis{"cannot be used", "its permissions do not allow it; run as the file's owner"}
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return diagnosis{"is busy", "another process holds the file; see whether one is stopped"}
	case sqlite3.SQLITE_INTERRUPT:
		return diagnosis{"was not waited for", "it was interrupted"}
	case sqlite3.SQLITE_FULL:
		return diagnosis{"is full", "the disk is full; make room"}
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return diagnosis{"cannot be written", "the file may not be written; mend its permissions and its folder's"}
	case sqlite3.SQLITE_CANTOPEN:
		return diagnosis{"cannot be used",
			"the file cannot be opened; see that it and its folder are there and may be written"}
	case sqlite3.SQLITE_IOERR:
		return diagnosis{"cannot be used", "the disk fails; look into the system's log"}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return diagnosis{"is damaged", "the file is damaged; restore it from a backup"}
	}
	switch {
	case errors.Is(err, errBehind):
		return behind
	case errors.Is(err, errNoSequencer):
		return headless
	}
	return diagnosis{"cannot be used", "the database refused it"}
}

func isBusy(err error) bool {
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// isDuplicate tells a row whose id, sender and mailbox another one has. One of the same seq is another matter.
func isDuplicate(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// sqliteCode is the primary result code in err, 0 if there is none.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}
