package server

import (
	"context"
	"time"

	"multichat/internal/chat"
)

// Store is the data access that the business logic needs: shards of mailboxes, each with a sequencer. Its errors are
// [*chat.Error] with code unavail when nothing was stored and unknown when nobody knows; [chat.ErrMoved] when the shard
// no longer serves what it was asked to write, once the store knows the new map.
//
// All methods may be called from many goroutines, but for Append: one call at a time per shard.
type Store interface {
	Placement
	Messages
	Users
	Cursors
	Retention
}

// Placement says which shard serves which mailbox. It reads memory only.
type Placement interface {
	// Shards are the numbers of all shards, ascending.
	Shards() []chat.ShardNumber
	// Name is what people call a shard.
	Name(shard chat.ShardNumber) string
	// Locate is the shard of a mailbox. A user's row and cursors are on the shard of the user's mailbox.
	Locate(m chat.Mailbox) chat.ShardNumber
}

// Messages is the part of a store that keeps messages.
type Messages interface {
	// Append commits a batch, in order, and answers each submission in its place. No two of a batch have the same
	// sender, id and mailbox. An error means that none is known to be stored.
	Append(ctx context.Context, shard chat.ShardNumber, batch []chat.Submission) ([]chat.Stored, error)

	// Arrivals reads the shard's head and then, on the same connection, up to limit arrivals above after, ascending.
	// It may leave the second step out when the head is still seen.
	Arrivals(ctx context.Context, shard chat.ShardNumber, after chat.Seq, seen chat.Head, limit int) (chat.Head, []chat.Arrival, error)

	// Bodies reads whole messages by their seqs, ascending. One that retention has deleted is left out.
	Bodies(ctx context.Context, shard chat.ShardNumber, seqs []chat.Seq) ([]chat.Message, error)

	// Page reads the oldest messages of a mailbox in (after, upTo], at most limit and about maxBytes of text, but at
	// least one if there is one.
	Page(ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int) ([]chat.Message, error)

	// Newest is the seq of the newest message of each mailbox that has one. All are mailboxes of this shard.
	Newest(ctx context.Context, shard chat.ShardNumber, mailboxes []chat.Mailbox) (map[chat.Mailbox]chat.Seq, error)
}

// Users is the part of a store that keeps users.
type Users interface {
	// Users reads those of the users that exist. All are users of this shard.
	Users(ctx context.Context, shard chat.ShardNumber, ids []chat.UserID) ([]chat.User, error)
}

// Cursors is the part of a store that keeps how far devices have read.
type Cursors interface {
	// OpenCursors reads the cursor of each device, in order, and makes those that are missing: a user's first device
	// starts with everything that waits, a further one where the most advanced of the others is. What it returns is
	// committed. All devices belong to users of this shard; a device whose user does not exist has a zero Cursor.
	OpenCursors(ctx context.Context, shard chat.ShardNumber, devices []chat.Device) ([]chat.Cursor, error)

	// LoginDevices is OpenCursors for streams: it also begins the next session of each device, in order, and returns its
	// number in the cursor. A login that takes over begins none if another stream has logged in since: then the cursor's
	// session is the other's, see [chat.Login.Has]. After an error sessions may have begun that nobody has; that is
	// harmless, the next login begins another.
	LoginDevices(ctx context.Context, shard chat.ShardNumber, logins []chat.Login) ([]chat.Cursor, error)

	// RaiseCursors stores how far devices have come, each under its session. A cursor never goes back; one that is gone is
	// passed over. outdated are those with a session that has ended: the device has another one by now, that of a newer
	// login, or its cursor is gone, since the user has too many devices or it was not seen for long. What was given for them
	// is not stored. Version 1 devices have no session and are never outdated.
	RaiseCursors(ctx context.Context, shard chat.ShardNumber, cursors []chat.Cursor) (outdated []chat.Device, err error)
}

// Retention is the part of a store that forgets. Each call is one short transaction that deletes at most limit rows, so it
// is called until it deletes none.
type Retention interface {
	// Prune deletes messages that were sent before then, beginning with the oldest.
	Prune(ctx context.Context, shard chat.ShardNumber, before time.Time, limit int) (deleted int, err error)

	// ForgetDevices deletes the cursors of devices that were not seen since then.
	ForgetDevices(ctx context.Context, shard chat.ShardNumber, before time.Time, limit int) (deleted int, err error)
}
