package shardstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"multichat/internal/chat"
)

// The keys of meta. Numbers are stored as decimal text, the plan as a JSON list.
const (
	metaCluster    = "cluster"
	metaPartitions = "partitions"
	metaHash       = "hash"
	metaSeed       = "seed"
	metaHighest    = "highest"
	metaPlan       = "plan"
)

// registry is what every kind of shard does to be a [Registry], but for Migrate.
type registry struct {
	*reads
	schema func(ctx context.Context) (version int, err error) // 0 of an empty database

	// enrol runs f in a transaction that keeps all other enrolments out. Its errors are for the person who sets up shards.
	enrol func(ctx context.Context, doing string, f func(enrolment) error) error
}

// enrolment is a transaction of registry.enrol.
type enrolment interface {
	query(text string, args ...any) (*sql.Rows, error)
	exec(text string, args ...any) (rows int64, err error)
}

func (r *registry) Identity(ctx context.Context) (Identity, error) {
	if version, err := r.schema(ctx); err != nil || version == 0 {
		return Identity{}, err
	}
	id, err := readIdentity(r.within(ctx))
	if err != nil {
		return Identity{}, r.unusable(err)
	}
	return id, nil
}

func readIdentity(query querier) (Identity, error) {
	meta, err := readMeta(query)
	if err != nil || meta[metaCluster] == "" {
		return Identity{}, err
	}
	id := Identity{Layout: Layout{Cluster: meta[metaCluster], Hash: meta[metaHash]}}
	if id.Partitions, err = strconv.Atoi(meta[metaPartitions]); err != nil {
		return Identity{}, fmt.Errorf("its number of partitions: %w", err)
	}
	if id.Seed, err = strconv.ParseUint(meta[metaSeed], 10, 64); err != nil {
		return Identity{}, fmt.Errorf("its seed: %w", err)
	}
	if id.Highest, err = parseNumber(meta[metaHighest]); err != nil {
		return Identity{}, err
	}
	id.Number, err = readNumber(query)
	return id, err
}

func readMeta(query querier) (map[string]string, error) {
	meta := make(map[string]string)
	err := each(query("SELECT k, v FROM meta"))(func(rows *sql.Rows) error {
		var k, v sql.RawBytes
		if err := rows.Scan(&k, &v); err != nil {
			return err
		}
		meta[string(k)] = string(v)
		return nil
	})
	return meta, err
}

// writeMeta replaces in two statements: the kinds of shards have no one statement in common for that.
func writeMeta(tx enrolment, meta map[string]string) error {
	for k, v := range meta {
		if _, err := tx.exec("DELETE FROM meta WHERE k = ?", blob(k)); err != nil {
			return err
		}
		if _, err := tx.exec("INSERT INTO meta (k, v) VALUES (?, ?)", blob(k), blob(v)); err != nil {
			return err
		}
	}
	return nil
}

func (r *registry) Join(ctx context.Context, id Identity) (now Identity, err error) {
	err = r.enrol(ctx, "join the cluster", func(tx enrolment) error {
		if now, err = readIdentity(tx.query); err != nil || now.Joined() {
			return err
		}
		now = id
		_, err := tx.exec("INSERT INTO shard (id, number, map_epoch, counter, user_rev) VALUES (1, ?, 1, 0, 1)", int(id.Number))
		if err != nil {
			return err
		}
		return writeMeta(tx, map[string]string{
			metaCluster:    id.Cluster,
			metaPartitions: strconv.Itoa(id.Partitions),
			metaHash:       id.Hash,
			metaSeed:       strconv.FormatUint(id.Seed, 10),
			metaHighest:    formatNumber(id.Highest),
		})
	})
	return now, err
}

func (r *registry) Reserve(ctx context.Context, floor chat.ShardNumber) (given chat.ShardNumber, err error) {
	err = r.raiseHighest(ctx, func(highest chat.ShardNumber) chat.ShardNumber {
		given = max(highest, floor) + 1
		return given
	})
	if err == nil && given >= chat.MaxShards {
		err = problemf(ErrSpec,
			"shard %s: all %d shard numbers have been given; there can be no further shard", r.name, chat.MaxShards)
	}
	return given, err
}

func (r *registry) Heard(ctx context.Context, given chat.ShardNumber) error {
	return r.raiseHighest(ctx, func(highest chat.ShardNumber) chat.ShardNumber { return max(highest, given) })
}

// raiseHighest stores the next highest number, if it is one that a shard can have.
func (r *registry) raiseHighest(ctx context.Context, next func(highest chat.ShardNumber) chat.ShardNumber) error {
	return r.enrol(ctx, "keep a shard's number", func(tx enrolment) error {
		meta, err := readMeta(tx.query)
		if err != nil {
			return err
		}
		highest, err := parseNumber(meta[metaHighest])
		if err != nil {
			return err
		}
		if n := next(highest); n > highest && n < chat.MaxShards {
			return writeMeta(tx, map[string]string{metaHighest: formatNumber(n)})
		}
		return nil
	})
}

func (r *registry) Place(ctx context.Context, plan Plan) (now Plan, err error) {
	err = r.enrol(ctx, "take its partitions", func(tx enrolment) error {
		meta, err := readMeta(tx.query)
		if err != nil {
			return err
		}
		if stored, ok := meta[metaPlan]; ok {
			return json.Unmarshal([]byte(stored), &now)
		}
		now = plan
		stored, err := json.Marshal(plan)
		if err != nil {
			return err
		}
		if err := writeMeta(tx, map[string]string{metaPlan: string(stored)}); err != nil {
			return err
		}
		return servePlanned(tx, plan)
	})
	return now, err
}

// servePlanned makes the shard serve what the plan has for it, and raises the map's epoch.
func servePlanned(tx enrolment, plan Plan) error {
	self, err := readNumber(tx.query)
	if err != nil {
		return err
	}
	var pids []any
	for pid, number := range plan {
		if number == self {
			pids = append(pids, pid)
		}
	}
	for size := range split(len(pids), insertSizes) {
		if _, err := tx.exec(partText(size), pids[:size]...); err != nil {
			return err
		}
		pids = pids[size:]
	}
	_, err = tx.exec("UPDATE shard SET map_epoch = map_epoch + 1 WHERE id = 1")
	return err
}

var partText = textsBySize(func(size int) string {
	return "INSERT INTO part (pid, state) VALUES " + strings.Repeat(",(?, 0)", size)[1:]
})

func (r *registry) Partitions(ctx context.Context) (epoch int64, pids []int, err error) {
	s, err := r.fresh(ctx)
	if err != nil {
		return 0, nil, r.unusable(err)
	}
	defer s.end()
	err = each(s.query("SELECT pid FROM part WHERE state = 0 ORDER BY pid"))(func(rows *sql.Rows) error {
		var pid int
		err := rows.Scan(&pid)
		pids = append(pids, pid)
		return err
	})
	if err != nil {
		return 0, nil, r.unusable(err)
	}
	return s.head.MapEpoch, pids, nil
}

func formatNumber(n chat.ShardNumber) string { return strconv.Itoa(int(n)) }

func parseNumber(s string) (chat.ShardNumber, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n >= chat.MaxShards {
		return 0, fmt.Errorf("its highest shard number is %q", s)
	}
	return chat.ShardNumber(n), nil
}
