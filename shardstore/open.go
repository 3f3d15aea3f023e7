package shardstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"multichat/internal/chat"
	"multichat/ring"
)

// Options are the settings of [Open] and [Init]. The zero value is good.
type Options struct {
	// Patience is how long a call waits for another process that holds a SQLite shard's file, if its context allows as
	// much; then it is answered unavail. 0 means 5 s.
	Patience time.Duration

	// Readers bounds the reads under way per shard; more wait for their turn. 0 means 4.
	Readers int

	// Password is that of MySQL shards whose URL says nothing of one; else it is the content of PasswordFile, without
	// white space at its end, which is read again for each connection.
	Password     chat.Secret
	PasswordFile string

	// AllowNondurable takes MySQL servers that may lose what they have acknowledged when they are killed.
	AllowNondurable bool
}

func (o Options) withDefaults() Options {
	if o.Patience == 0 {
		o.Patience = 5 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	return o
}

// member is a shard that is open, and who it is.
type member struct {
	name  string
	shard Shard
	id    Identity
}

// Open opens all shards of a cluster, brings their schemas up to date, and reads who serves what. It refuses shards that
// do not belong together, and starts no goroutine that outlives [Store.Close].
//
// Its errors are one sentence each, with the remedy, of the kinds of [ErrSpec] and its neighbours.
func Open(ctx context.Context, specs []Spec, opt Options) (*Store, error) {
	members, err := openAll(ctx, specs, false, opt)
	if err != nil {
		return nil, err
	}
	store, err := assemble(ctx, members)
	if err != nil {
		return nil, errors.Join(err, closeAll(members))
	}
	return store, nil
}

// openAll opens every database, by ascending name. With create, those that are missing are made, still empty.
func openAll(ctx context.Context, specs []Spec, create bool, opt Options) (_ []*member, err error) {
	opt = opt.withDefaults()
	locations, err := checkSpecs(specs)
	if err != nil {
		return nil, err
	}
	var members []*member
	defer func() {
		if err != nil {
			closeAll(members)
		}
	}()
	var silent error
	for i, spec := range specs {
		m, err := openMember(ctx, spec.Name, locations[i], create, opt)
		switch {
		case errors.Is(err, ErrUnreachable):
			silent = cmp.Or(silent, err) // what is wrong with another shard is said first: it does not pass by itself
		case err != nil:
			return nil, err
		default:
			members = append(members, m)
		}
	}
	if silent != nil {
		return nil, silent
	}
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.name, b.name) })
	return members, nil
}

// openMember opens a shard, finds out who it is, and brings its schema up to date.
func openMember(ctx context.Context, name string, at location, create bool, opt Options) (_ *member, err error) {
	shard, err := openShard(ctx, name, at, create, opt)
	if err != nil {
		return nil, err
	}
	m := &member{name: name, shard: shard}
	m.id, err = shard.Identity(ctx)
	if err == nil && !create && !m.id.Joined() {
		err = notInitialised(name)
	}
	if err == nil {
		err = shard.Migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, shard.Close())
	}
	return m, nil
}

func openShard(ctx context.Context, name string, at location, create bool, opt Options) (Shard, error) {
	if at.file != "" {
		return openSQLite(ctx, name, at.file, create, opt)
	}
	return openMySQL(ctx, name, at.mysql, opt)
}

// checkSpecs finds what can be seen to be wrong without opening anything.
func checkSpecs(specs []Spec) ([]location, error) {
	if len(specs) == 0 {
		return nil, problemf(ErrSpec, "no shard is given: give each as NAME=URL, for example a=sqlite:a.db")
	}
	locations := make([]location, len(specs))
	names := make(map[string]bool)
	places := make(map[string]string)
	for i, spec := range specs {
		at, err := spec.location()
		if err != nil {
			return nil, err
		}
		if names[spec.Name] {
			return nil, problemf(ErrSpec, "two shards are called %s: give each a name of its own", spec.Name)
		}
		if other, ok := places[at.place()]; ok {
			return nil, problemf(ErrSpec, "shards %s and %s are the same database: give each one of its own", other, spec.Name)
		}
		names[spec.Name], places[at.place()], locations[i] = true, spec.Name, at
	}
	return locations, nil
}

// assemble makes a store of shards that belong together.
func assemble(ctx context.Context, members []*member) (*Store, error) {
	if err := checkKinship(members); err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b *member) int { return int(a.id.Number) - int(b.id.Number) })
	s := &Store{members: members, byNumber: make(map[chat.ShardNumber]*member, len(members))}
	for _, m := range members {
		s.byNumber[m.id.Number] = m
	}
	if err := s.ReadMap(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// checkKinship refuses members that have joined different clusters, or the same shard given twice. Those that have not
// joined are passed over.
func checkKinship(members []*member) error {
	var first *member
	numbers := make(map[chat.ShardNumber]*member)
	for _, m := range members {
		if !m.id.Joined() {
			continue
		}
		if first == nil {
			first = m
		}
		switch {
		case m.id.Cluster != first.id.Cluster:
			return problemf(ErrWrongCluster, "shard %s belongs to another cluster (id %s) than shard %s (id %s): "+
				"give only shards made by one `multichat shard init`", m.name, m.id.Cluster, first.name, first.id.Cluster)
		case m.id.Hash != ring.MailboxHash:
			return problemf(ErrNewerSchema, "shard %s places mailboxes by %q, which this multichat does not know: update it",
				m.name, m.id.Hash)
		case m.id.Layout != first.id.Layout:
			return problemf(ErrWrongCluster, "shards %s and %s place mailboxes differently (%d and %d partitions, or another seed), "+
				"though they are of one cluster: restore the meta table of one of them",
				first.name, m.name, first.id.Partitions, m.id.Partitions)
		}
		if other, ok := numbers[m.id.Number]; ok {
			return problemf(ErrWrongCluster, "shards %s and %s are both number %d: one is a copy of the other; give it once",
				other.name, m.name, m.id.Number)
		}
		numbers[m.id.Number] = m
	}
	return nil
}

func notInitialised(shard string) error {
	return problemf(ErrNotInitialised,
		"shard %s is not initialised: run `multichat shard init` with all shards of the cluster", shard)
}

func closeAll(members []*member) error {
	var errs []error
	for _, m := range members {
		errs = append(errs, m.shard.Close())
	}
	return errors.Join(errs...)
}
