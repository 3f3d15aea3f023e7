package shardstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"multichat/internal/chat"
)

// sqliteWriter is the one connection of this process that writes to the file. Transactions take turns on it.
type sqliteWriter struct {
	db   *sql.DB       // keeps no idle connection, so that a session that is dropped is closed
	turn chan struct{} // one slot; whoever has filled it owns session

	patience time.Duration // how long to wait for the lock of another process

	session *sqliteSession // nil until it is needed, and after an error
}

func newSQLiteWriter(db *sql.DB, patience time.Duration) *sqliteWriter {
	db.SetMaxIdleConns(-1)
	return &sqliteWriter{db: db, turn: make(chan struct{}, 1), patience: patience}
}

// whileBusy runs f again for as long as another process holds the lock that it needs, within ctx and w's patience.
//
// SQLite can wait by itself, but its pauses grow to 100 ms: beside two busy writers a third then waited for seconds,
// since the lock is free for moments only. Short ones, of random length, find such a moment.
func (w *sqliteWriter) whileBusy(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(w.patience)
	for {
		err := f()
		if err == nil || !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100*time.Microsecond + rand.N(300*time.Microsecond)):
		}
	}
}

// closeTime bounds the wait for the transaction under way. It takes milliseconds, unless another process holds the file or
// the disk hangs. A sync that hangs cannot be called off: a process that waited for it could not be ended.
const closeTime = time.Second

// close waits for the transaction under way. If that does not end in time, its connection is left to it until the process
// ends: closing it beneath the transaction could make the outcome unknown.
func (w *sqliteWriter) close() error {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
		w.drop()
		return w.db.Close()
	case <-time.After(closeTime):
	}
	return errors.Join(w.db.Close(), // what is in use is passed over
		fmt.Errorf("a write has not ended within %v; see whether its disk hangs or another process holds the file", closeTime))
}

// write runs f in one transaction that holds the file's write lock from its beginning, and commits it if f has changed
// anything. What f returns as an error rolls it back.
//
// ctx bounds the waiting, for the turn and for the lock. From there on nothing is waited for but the disk, and a
// context that ends no longer counts once COMMIT has been sent: so it never leaves an outcome unknown.
func (s *sqliteShard) write(ctx context.Context, doing string, f func(*sqliteTx) error) error {
	w := s.writer
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return s.notStored(doing, ctx.Err())
	}
	tx, err := w.begin(ctx)
	if err != nil {
		w.drop()
		return s.notStored(doing, err)
	}
	if err = f(tx); err == nil {
		err = ctx.Err()
	}
	if err != nil || !tx.changed {
		w.rollback(tx)
		return s.notStored(doing, err)
	}
	if _, err := tx.session.exec(tx.ctx, "COMMIT"); err != nil {
		w.rollback(tx)
		w.drop()
		return s.perhapsStored(doing, err)
	}
	return nil
}

func (w *sqliteWriter) begin(ctx context.Context) (*sqliteTx, error) {
	if w.session == nil {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		w.session = &sqliteSession{conn: conn, statements: make(map[string]*sql.Stmt)}
	}
	tx := &sqliteTx{session: w.session, ctx: context.WithoutCancel(ctx)}
	err := w.whileBusy(ctx, func() error {
		_, err := w.session.exec(tx.ctx, "BEGIN IMMEDIATE") // it does not wait, so it need not be called off
		return err
	})
	if err != nil {
		return nil, err
	}
	return tx, nil
}

// rollback ends a transaction. SQLite ends it by itself after some errors; that, too, is a reason to begin afresh.
func (w *sqliteWriter) rollback(tx *sqliteTx) {
	if _, err := tx.session.exec(tx.ctx, "ROLLBACK"); err != nil {
		w.drop()
	}
}

// drop closes the connection, and with it any transaction on it.
func (w *sqliteWriter) drop() {
	if w.session == nil {
		return
	}
	for _, stmt := range w.session.statements {
		stmt.Close()
	}
	w.session.conn.Close()
	w.session = nil
}

// sqliteSession is a connection and the statements prepared on it. The texts are few, see listSize.
type sqliteSession struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func (c *sqliteSession) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt, ok := c.statements[text]; ok {
		return stmt, nil
	}
	stmt, err := c.conn.PrepareContext(ctx, text)
	if err == nil {
		c.statements[text] = stmt
	}
	return stmt, err
}

func (c *sqliteSession) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	stmt, err := c.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// sqliteTx is a transaction in which the file's write lock is held.
type sqliteTx struct {
	session *sqliteSession
	ctx     context.Context // does not end
	changed bool            // something was written

	// Set by enter.
	fence   Fence
	number  chat.ShardNumber
	counter int64
}

// exec changes rows and returns how many.
func (tx *sqliteTx) exec(text string, args ...any) (int64, error) {
	result, err := tx.session.exec(tx.ctx, text, args...)
	if err != nil {
		return 0, err
	}
	tx.changed = true
	return result.RowsAffected()
}

func (tx *sqliteTx) query(text string, args ...any) (*sql.Rows, error) {
	stmt, err := tx.session.prepare(tx.ctx, text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(tx.ctx, args...)
}

// row reads one row into dest. It returns sql.ErrNoRows if there is none.
func (tx *sqliteTx) row(text string, args []any, dest ...any) error {
	stmt, err := tx.session.prepare(tx.ctx, text)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(tx.ctx, args...).Scan(dest...)
}

// enter checks the fence, so that a shard that no longer serves a mailbox says nothing about what is in it either.
func (tx *sqliteTx) enter(fence Fence) error {
	var epoch int64
	var behind bool
	err := tx.row("SELECT number, map_epoch, counter, "+isBehind+" FROM shard WHERE id = 1", nil,
		&tx.number, &epoch, &tx.counter, &behind)
	switch {
	case err != nil:
		return err
	case epoch != fence.Epoch:
		return ErrFenced
	case behind:
		return errBehind
	}
	tx.fence = fence
	return nil
}

// take gives the next n seqs to this transaction, which has entered, and returns the first one's counter. users is 1
// for a change of users, else 0.
func (tx *sqliteTx) take(n, users int) (first int64, err error) {
	rows, err := tx.exec("UPDATE shard SET counter = counter + ?, user_rev = user_rev + ? WHERE id = 1 AND map_epoch = ?",
		n, users, tx.fence.Epoch)
	if err == nil && rows != 1 {
		err = ErrFenced
	}
	return tx.counter + 1, err
}

// isNoRows tells the absence of a row from an error.
func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
