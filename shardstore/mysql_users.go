package shardstore

import (
	"context"
	"errors"

	"multichat/internal/chat"
)

// AddUser starts the user's own mailbox at the seq that the change takes: a namesake's mail lies below it.
func (s *mysqlShard) AddUser(ctx context.Context, fence Fence, u chat.User) error {
	return s.changeUser(ctx, "add a user", fence, u.ID, "= 0", ErrUserExists,
		"INSERT INTO users (userid, pid, username, password, inbox_from, bcast_from) "+
			"SELECT ?, ?, ?, ?, counter * ? + number, ? FROM shard WHERE id = 1",
		blob(u.ID), int64(fence.Partition(u.ID.Mailbox())), blob(u.Name), blob(u.Hash), int64(chat.MaxShards),
		int64(u.BroadcastFrom))
}

func (s *mysqlShard) SetPassword(ctx context.Context, fence Fence, id chat.UserID, hash string) error {
	return s.changeUser(ctx, "change a password", fence, id, "= 1", ErrNoUser,
		"UPDATE users SET password = ? WHERE userid = ?", blob(hash), blob(id))
}

func (s *mysqlShard) RemoveUser(ctx context.Context, fence Fence, id chat.UserID) error {
	return s.changeUser(ctx, "remove a user", fence, id, "= 1", ErrNoUser,
		"DELETE FROM `cursor` WHERE userid = ?; DELETE FROM users WHERE userid = ?", blob(id), blob(id))
}

// changeUser runs a change if the user exists, or does not: found is "= 1" or "= 0". refusal is the error otherwise.
func (s *mysqlShard) changeUser(
	ctx context.Context, doing string, fence Fence, id chat.UserID, found string, refusal error, text string, args ...any,
) error {
	p := s.newPacket(fence, 1, 1, []any{blob(id)}, found)
	p.add("; "+text, args...)
	_, err := s.write(ctx, doing, p)
	if !errors.Is(err, errGuard) {
		return err
	}
	if err := s.whyNot(ctx, fence); err != nil {
		return err
	}
	return refusal
}
