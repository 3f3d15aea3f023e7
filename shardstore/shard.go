package shardstore

import (
	"context"
	"errors"
	"time"

	"multichat/internal/chat"
)

// Shard is one database. All its methods may be called from many goroutines; writes take turns.
//
// Methods of messages, users and cursors return [*chat.Error]: unavail when nothing was stored, unknown when the outcome
// of a commit is not known. Their Reason is for anybody's eyes: it may name the shard, but no host, file or words of a
// driver, which are in the text of the error alone. Beside that they return the sentinels that they name, bare.
type Shard interface {
	Registry
	Messages
	Users
	Cursors
	Care
	Close() error
}

// Care is what those who run a shard look at and mend: see [Inspect] and [Lift]. Its errors are those of [Registry].
type Care interface {
	machine(ctx context.Context) (machine, error)
	clock(ctx context.Context) (time.Duration, error) // as [Status.Clock]
	behind(ctx context.Context) (bool, error)
	lift(ctx context.Context) error
}

// ErrFenced says that the map has changed since the caller read it. Nothing was written.
var ErrFenced = errors.New("the shard's map has changed")

// Errors of [Users].
var (
	ErrUserExists = errors.New("there is a user of this name already; choose another userid")
	ErrNoUser     = errors.New("there is no user of this name")
)

// Fence is what a writer goes by: the epoch of the map that it has read, without which nothing is written, and the
// layout, which says what partition a row belongs to.
type Fence struct {
	Layout
	Epoch int64
}

// Registry is what a shard knows of itself: which cluster, which number, which partitions. Its errors are for a person,
// of the kinds of [ErrSpec] and its neighbours.
type Registry interface {
	// Migrate brings the schema up to date; an empty database gets all of it. Any number of processes may do so at
	// once. It refuses a database of another program or of a newer multichat.
	Migrate(ctx context.Context) error

	// Identity reads who the shard is. A database that has not joined a cluster has the zero Identity.
	Identity(ctx context.Context) (Identity, error)

	// Join makes the shard a member unless it is one already, and returns who it is now.
	Join(ctx context.Context, id Identity) (Identity, error)

	// Reserve gives a shard number that was never given: one above floor and above all that this shard has given or
	// heard of. It fails when there is none left.
	Reserve(ctx context.Context, floor chat.ShardNumber) (chat.ShardNumber, error)

	// Heard keeps that a number was given, by whichever shard.
	Heard(ctx context.Context, given chat.ShardNumber) error

	// Place takes the partitions that the plan has for this shard, unless the shard was given a plan before, and
	// returns the plan that holds.
	Place(ctx context.Context, plan Plan) (Plan, error)

	// Partitions reads the map's epoch and then the partitions that this shard serves, ascending.
	Partitions(ctx context.Context) (epoch int64, pids []int, err error)
}

// Layout is what all shards of a cluster have in common, for good: where a mailbox belongs follows from it.
type Layout struct {
	Cluster    string // the cluster's random id
	Partitions int    // P
	Hash       string // the name of the function that takes a mailbox to its partition
	Seed       uint64 // of that function
}

// Identity is who a shard is.
type Identity struct {
	Layout
	Number  chat.ShardNumber
	Highest chat.ShardNumber // the highest number ever given in the cluster, as far as this shard has heard
}

// Joined tells whether the shard belongs to a cluster.
func (id Identity) Joined() bool { return id.Cluster != "" }

// Plan says which shard gets each partition when a cluster is made. Its index is the partition. It is written once:
// what later moves partitions does not touch it.
type Plan []chat.ShardNumber

// Messages is a shard's part in keeping messages. The contracts beyond what is said here are those of [Store].
type Messages interface {
	// Append commits a batch under the fence, in order, with seqs that ascend. It may return [ErrFenced].
	Append(ctx context.Context, fence Fence, batch []chat.Submission) ([]chat.Stored, error)

	// Head reads the state that readers watch.
	Head(ctx context.Context) (chat.Head, error)

	Arrivals(ctx context.Context, after chat.Seq, seen chat.Head, limit int) (chat.Head, []chat.Arrival, error)
	Bodies(ctx context.Context, seqs []chat.Seq) ([]chat.Message, error)
	Page(ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int) ([]chat.Message, error)
	Newest(ctx context.Context, mailboxes []chat.Mailbox) (map[chat.Mailbox]chat.Seq, error)

	// Prune deletes what is older than before: see [Store.Prune].
	Prune(ctx context.Context, before time.Time, limit int) (deleted int, err error)
}

// Users is a shard's part in keeping users. Each change takes one seq and raises the shard's user_rev; each may return
// [ErrFenced].
type Users interface {
	// AddUser may return [ErrUserExists].
	AddUser(ctx context.Context, fence Fence, u chat.User) error
	// SetPassword replaces the hash. It may return [ErrNoUser].
	SetPassword(ctx context.Context, fence Fence, id chat.UserID, hash string) error
	// RemoveUser removes the user and the user's cursors. It may return [ErrNoUser].
	RemoveUser(ctx context.Context, fence Fence, id chat.UserID) error

	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	// ListUsers reads the first limit users above after, ascending by id.
	ListUsers(ctx context.Context, after chat.UserID, limit int) ([]chat.User, error)
}

// Cursors is a shard's part in keeping how far devices have read.
type Cursors interface {
	// OpenCursors makes missing rows under the fence, one seq for all of them. It may return [ErrFenced].
	OpenCursors(ctx context.Context, fence Fence, devices []chat.Device) ([]chat.Cursor, error)

	// LoginDevices begins sessions under the fence, and makes missing rows as OpenCursors does. It may return [ErrFenced].
	LoginDevices(ctx context.Context, fence Fence, logins []chat.Login) ([]chat.Cursor, error)

	RaiseCursors(ctx context.Context, cursors []chat.Cursor) (outdated []chat.Device, err error)

	// ForgetDevices deletes the cursors of devices unseen since before: see [Store.ForgetDevices].
	ForgetDevices(ctx context.Context, before time.Time, limit int) (deleted int, err error)
}
