package shardstore

import (
	"errors"
	"fmt"
)

// What can be wrong with the shards a program is given, for [errors.Is]. Each such error reads as one sentence that
// names the shard and says what to do. All but [ErrUnreachable] stay until a person changes something.
var (
	// ErrSpec is a fault in the list of shards itself: a URL that cannot be read, a name given twice.
	ErrSpec = errors.New("the shards are given wrongly")
	// ErrUnreachable is a database that does not answer or cannot be opened.
	ErrUnreachable = errors.New("a shard cannot be reached")
	// ErrNotInitialised is a database that `multichat shard init` has not made a shard yet, or not to the end.
	ErrNotInitialised = errors.New("a shard is not initialised")
	// ErrWrongCluster is a shard that does not belong with the others.
	ErrWrongCluster = errors.New("the shards do not belong together")
	// ErrForeign is a database that belongs to some other program.
	ErrForeign = errors.New("not a database of multichat")
	// ErrNewerSchema is a shard that only a newer multichat understands.
	ErrNewerSchema = errors.New("a shard has a newer schema")
	// ErrRefused is a database that does not let this program in, or do what it must: its account, or a file's permissions.
	ErrRefused = errors.New("a shard's database refuses this program")
	// ErrNotFit is a database that cannot be a shard as it is: a server with settings that a shard must not have, a file
	// that is damaged.
	ErrNotFit = errors.New("a shard's database is not fit")
	// ErrMap is a set of shards in which a partition is served by none, or by more than one.
	ErrMap = errors.New("the partitions are not served by exactly one shard each")
)

// diagnosis is what an error of a database means.
type diagnosis struct {
	seen   string // to anybody: what the shard looks like from outside
	remedy string // to the one who runs the shard: what is wrong and what to do
}

// behind is the diagnosis of errBehind.
var behind = diagnosis{"is damaged", "its counter is behind its newest message, as after a backup was restored; " +
	"run `multichat shard lift`"}

// headless is the diagnosis of errNoSequencer.
var headless = diagnosis{"is damaged", "the row of its table shard is missing, as while a backup is being restored; " +
	"restore it whole, and then run `multichat shard lift`"}

// problem is an error that reads as its sentence alone and is of a kind.
type problem struct {
	kind     error
	sentence error
}

// problemf makes a problem. As in fmt.Errorf, %w keeps causes.
func problemf(kind error, format string, args ...any) error {
	return &problem{kind: kind, sentence: fmt.Errorf(format, args...)}
}

func (p *problem) Error() string { return p.sentence.Error() }

func (p *problem) Unwrap() []error { return []error{p.kind, p.sentence} }
