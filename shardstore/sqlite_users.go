package shardstore

import (
	"context"

	"multichat/internal/chat"
)

// AddUser starts the user's own mailbox at the seq that the change takes: a namesake's mail lies below it.
func (s *sqliteShard) AddUser(ctx context.Context, fence Fence, u chat.User) error {
	return s.write(ctx, "add a user", func(tx *sqliteTx) error {
		if err := tx.enter(fence); err != nil {
			return err
		}
		var one int
		err := tx.row("SELECT 1 FROM users WHERE userid = ?", []any{blob(u.ID)}, &one)
		if err == nil {
			return ErrUserExists
		} else if !isNoRows(err) {
			return err
		}
		counter, err := tx.take(1, 1)
		if err != nil {
			return err
		}
		_, err = tx.exec(`INSERT INTO users (userid, pid, username, password, inbox_from, bcast_from)
			VALUES (?, ?, ?, ?, ?, ?)`, blob(u.ID), fence.Partition(u.ID.Mailbox()), blob(u.Name), blob(u.Hash),
			int64(chat.SeqAt(counter, tx.number)), int64(u.BroadcastFrom))
		return err
	})
}

func (s *sqliteShard) SetPassword(ctx context.Context, fence Fence, id chat.UserID, hash string) error {
	return s.changeUser(ctx, "change a password", fence, func(tx *sqliteTx) (int64, error) {
		return tx.exec("UPDATE users SET password = ? WHERE userid = ?", blob(hash), blob(id))
	})
}

func (s *sqliteShard) RemoveUser(ctx context.Context, fence Fence, id chat.UserID) error {
	return s.changeUser(ctx, "remove a user", fence, func(tx *sqliteTx) (int64, error) {
		if _, err := tx.exec("DELETE FROM cursor WHERE userid = ?", blob(id)); err != nil {
			return 0, err
		}
		return tx.exec("DELETE FROM users WHERE userid = ?", blob(id))
	})
}

// changeUser runs a change that must meet one row.
func (s *sqliteShard) changeUser(
	ctx context.Context, doing string, fence Fence, change func(*sqliteTx) (rows int64, err error),
) error {
	return s.write(ctx, doing, func(tx *sqliteTx) error {
		if err := tx.enter(fence); err != nil {
			return err
		}
		rows, err := change(tx)
		if err == nil && rows == 0 {
			err = ErrNoUser
		}
		if err == nil {
			_, err = tx.take(1, 1)
		}
		return err
	})
}
