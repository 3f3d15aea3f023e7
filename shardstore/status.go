package shardstore

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"multichat/internal/chat"
)

// Status is what [Inspect] finds out about one shard. If Err is not nil, only Name can be relied on besides.
type Status struct {
	Name string
	Err  error // why the shard could not be looked at, a sentence with the remedy

	Version    string // of the database server: "MySQL 9.7.4", "SQLite 3.51.0"
	Number     chat.ShardNumber
	Partitions int      // that it serves
	Everyone   bool     // it serves [chat.Everyone]
	Newest     chat.Seq // given last
	Behind     bool     // it has messages above Newest, and takes no more until [Lift]

	Messages int64         // those that are kept; about as many, where counting would take long
	Bytes    int64         // on disk, about
	Lacks    string        // the settings without which it may lose what it has acknowledged; empty if it is durable
	Clock    time.Duration // how far the clock of the database server is ahead of this machine's
}

// machine is what an Inspect asks of the kind of a shard.
type machine struct {
	version         string
	messages, bytes int64
	lacks           string
	clock           time.Duration
}

// inspectTime bounds the look at one shard.
const inspectTime = 8 * time.Second

// Inspect looks at shards, each by itself, and changes nothing. The error is of the kind [ErrSpec] alone.
func Inspect(ctx context.Context, specs []Spec, opt Options) ([]Status, error) {
	opt = opt.withDefaults()
	opt.AllowNondurable = true
	locations, err := checkSpecs(specs)
	if err != nil {
		return nil, err
	}
	found := make([]Status, len(specs))
	var group sync.WaitGroup
	for i, spec := range specs {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, inspectTime)
			defer cancel()
			found[i] = inspect(ctx, spec.Name, locations[i], opt)
		})
	}
	group.Wait()
	return found, nil
}

func inspect(ctx context.Context, name string, at location, opt Options) Status {
	st := Status{Name: name}
	shard, err := openShard(ctx, name, at, false, opt)
	if err != nil {
		st.Err = err
		return st
	}
	defer shard.Close()
	id, err := shard.Identity(ctx)
	switch {
	case err != nil:
		st.Err = err
	case !id.Joined():
		st.Err = notInitialised(name)
	default:
		if st.Err = st.readCluster(ctx, shard, id); st.Err == nil {
			st.Err = st.readMachine(ctx, shard)
		}
	}
	return st
}

func (st *Status) readCluster(ctx context.Context, shard Shard, id Identity) error {
	_, pids, err := shard.Partitions(ctx)
	if err != nil {
		return err
	}
	st.Number, st.Partitions = id.Number, len(pids)
	everyones := id.Partition(chat.Everyone)
	for _, pid := range pids {
		st.Everyone = st.Everyone || pid == everyones
	}
	head, err := shard.Head(ctx)
	if err != nil {
		return err
	}
	st.Newest = head.Newest
	st.Behind, err = shard.behind(ctx)
	return err
}

func (st *Status) readMachine(ctx context.Context, shard Shard) error {
	m, err := shard.machine(ctx)
	st.Version, st.Messages, st.Bytes, st.Lacks, st.Clock = m.version, m.messages, m.bytes, m.lacks, m.clock
	return err
}

// liftBy is how far Lift raises a counter: further than a shard can have come between a backup and its loss, at its
// highest speed for more than a week, and a hundred thousandth of what a seq can hold.
const liftBy = 1 << 36

// Lift makes shards that were restored from a backup serve again: it raises their counters above all seqs that they can
// have given before they were lost. Else they would give them again, to other messages, which readers who have seen the
// old ones would pass over. A shard that needs no lift takes no harm. It changes nothing unless all shards can be reached.
func Lift(ctx context.Context, specs []Spec, opt Options) error {
	store, err := Open(ctx, specs, opt)
	if err != nil {
		return err
	}
	defer store.Close()
	for _, m := range store.members {
		if err := m.shard.lift(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *reads) behind(ctx context.Context) (bool, error) {
	s, err := r.fresh(ctx)
	if err != nil {
		return false, r.unusable(err)
	}
	defer s.end()
	err = checkCounter(s.query)
	if err == errBehind {
		return true, nil
	}
	return false, r.unusable(err)
}

func (r *registry) lift(ctx context.Context) error {
	return r.enrol(ctx, "lift the counter", func(tx enrolment) error {
		// No MAX of two values is understood by all kinds; the second statement finds nothing to do after the first.
		var newest chat.Seq
		err := each(tx.query("SELECT COALESCE(MAX(seq), 0) FROM inbox"))(func(rows *sql.Rows) error { return rows.Scan(&newest) })
		if err != nil {
			return err
		}
		if _, err := tx.exec("UPDATE shard SET counter = ? WHERE id = 1 AND counter < ?", newest.Counter(), newest.Counter()); err != nil {
			return err
		}
		rows, err := tx.exec("UPDATE shard SET counter = counter + ? WHERE id = 1", int64(liftBy))
		if err == nil && rows != 1 {
			err = errNoSequencer
		}
		return err
	})
}
