// Package shardstore is the data access: it keeps users, messages and cursors in the shards of a cluster, and knows which
// shard serves which mailbox.
//
// # Shards
//
// A [Shard] is one SQL database. It serves partitions of the mailboxes: a mailbox's name, hashed, is its partition
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
// # Use
//
// [Init] makes the shards, once. [Open] opens all of them as a [Store], which is what a server works with. Package
// storetest is the suite that every kind of shard passes.
//
// # SQLite
//
// sqlite:FILE, for one machine: any number of processes may share the file, but not over a network file system. Each
// write is one BEGIN IMMEDIATE … COMMIT on a connection of its own; it is durable when it returns. A process that is
// stopped in the middle of a write holds up all other writers of that file until it goes on or dies; they answer unavail
// after [Options].Patience.
package shardstore
