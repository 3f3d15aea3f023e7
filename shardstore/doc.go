// Package shardstore is the data access: it keeps users, messages and cursors in the shards of a cluster, and knows which
// shard serves which mailbox.
//
// # Shards
//
// A [Shard] is one SQL database: one of a MySQL or MariaDB server, or a SQLite file. It serves partitions of the mailboxes: a mailbox's name, hashed, is its partition
// ([Layout.Partition]), and each shard's own part table says which partitions it serves. The ring proposes that once,
// when [Init] makes the cluster; from then on the tables are the truth, so that neither a lost shard nor a new release of
// the ring moves a key. A user's row and cursors lie with the user's mailbox; [chat.Everyone] is a mailbox like any other
// and lies on one shard.
//
// # Order
//
// Each shard has one row that gives out its seqs. Whoever writes changes that row first and holds its lock to the commit,
// so seqs become visible in ascending order: a reader who has seen seq n never finds a smaller one later. A seq is the
// row's counter times 1024 plus the shard's number, and so unique in the cluster.
//
// # Fence
//
// The same row carries the epoch of the map. A writer names the epoch it has read ([Fence]) and writes nothing if the
// row has another: whoever moves a partition fences every server by one UPDATE. [Store] then reads the map again and
// returns [chat.ErrMoved].
//
// # Retries
//
// (id, sender, mailbox) is unique among the messages that are kept. A submission that is there already is answered with
// its old seq, or as a conflict if its text is another; so sending again is harmless, and what is older than retention is
// no longer known.
//
// # Sessions
//
// A login of a device begins a session ([Store.LoginDevices]): a number in the device's row that rises under the fence and
// the row's lock, so that no two logins have the same one, whichever process they come by. A cursor is raised under the
// session that it was read in, or not at all ([Store.RaiseCursors]): so whoever lost a device to a newer login finds out,
// and what the newer one was given to begin with stays true. A session also ends when its row is deleted, since the user has
// too many devices or this one was not seen for long; its holder finds out the same way, and nothing is confirmed that was
// not stored. Version 1 devices do not log in; their session is 0, and a raise of one that is gone is passed over in silence.
//
// # Use
//
// [Init] makes the shards, once. [Open] opens all of them as a [Store], which is what a server works with. Package
// storetest is the suite that every kind of shard passes.
//
// # MySQL
//
// mysql://USER@HOST[:PORT][,HOST…]/DB?password-file=PATH, on MySQL 8.4 or later or MariaDB 10.11 or later. A write is one
// packet, BEGIN to COMMIT: whoever is stopped, killed or cut off in the middle of it holds nobody up; but for one that has
// failed, whose ROLLBACK did not arrive, where the server's patience of 2 s ends it. A server that may lose what it has
// acknowledged, or that is read-only, is refused at each new connection. Of several hosts the one is used that can be
// written; that what was written to the one is on the other is the business of who replicates them.
//
// # SQLite
//
// sqlite:FILE, for one machine: any number of processes may share the file, but not over a network file system. Each
// write is one BEGIN IMMEDIATE … COMMIT on a connection of its own; it is durable when it returns. A process that is
// stopped in the middle of a write holds up all other writers of that file until it goes on or dies; they answer unavail
// after [Options].Patience.
package shardstore
