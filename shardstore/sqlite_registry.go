package shardstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
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

func (s *sqliteShard) Identity(ctx context.Context) (Identity, error) {
	if version, err := s.schema(ctx); err != nil || version == 0 {
		return Identity{}, err
	}
	id, err := readIdentity(readFrom(ctx, s))
	if err != nil {
		return Identity{}, openProblem(s.name, s.file, err)
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
	err = each(query("SELECT number FROM shard WHERE id = 1"))(
		func(rows *sql.Rows) error { return rows.Scan(&id.Number) })
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

func (tx *sqliteTx) writeMeta(meta map[string]string) error {
	for k, v := range meta {
		_, err := tx.exec("INSERT INTO meta (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v", blob(k), blob(v))
		if err != nil {
			return err
		}
	}
	return nil
}

// enrol is write for a registry: its errors are for the person who sets up shards.
func (s *sqliteShard) enrol(ctx context.Context, doing string, f func(*sqliteTx) error) error {
	err := s.write(ctx, doing, f)
	if e, ok := errors.AsType[*chat.Error](err); ok {
		return problemf(ErrUnreachable, "%w", errors.Unwrap(e))
	}
	return err
}

func (s *sqliteShard) Join(ctx context.Context, id Identity) (now Identity, err error) {
	err = s.enrol(ctx, "join the cluster", func(tx *sqliteTx) error {
		if now, err = readIdentity(tx.query); err != nil || now.Joined() {
			return err
		}
		now = id
		_, err := tx.exec("INSERT INTO shard (id, number, map_epoch, counter, user_rev) VALUES (1, ?, 1, 0, 1)", int(id.Number))
		if err != nil {
			return err
		}
		return tx.writeMeta(map[string]string{
			metaCluster:    id.Cluster,
			metaPartitions: strconv.Itoa(id.Partitions),
			metaHash:       id.Hash,
			metaSeed:       strconv.FormatUint(id.Seed, 10),
			metaHighest:    formatNumber(id.Highest),
		})
	})
	return now, err
}

func (s *sqliteShard) Reserve(ctx context.Context, floor chat.ShardNumber) (given chat.ShardNumber, err error) {
	err = s.raiseHighest(ctx, func(highest chat.ShardNumber) chat.ShardNumber {
		given = max(highest, floor) + 1
		return given
	})
	if err == nil && given >= chat.MaxShards {
		err = problemf(ErrSpec,
			"shard %s: all %d shard numbers have been given; there can be no further shard", s.name, chat.MaxShards)
	}
	return given, err
}

func (s *sqliteShard) Heard(ctx context.Context, given chat.ShardNumber) error {
	return s.raiseHighest(ctx, func(highest chat.ShardNumber) chat.ShardNumber { return max(highest, given) })
}

// raiseHighest stores the next highest number, if it is one that a shard can have.
func (s *sqliteShard) raiseHighest(ctx context.Context, next func(highest chat.ShardNumber) chat.ShardNumber) error {
	return s.enrol(ctx, "keep a shard's number", func(tx *sqliteTx) error {
		meta, err := readMeta(tx.query)
		if err != nil {
			return err
		}
		highest, err := parseNumber(meta[metaHighest])
		if err != nil {
			return err
		}
		if n := next(highest); n > highest && n < chat.MaxShards {
			return tx.writeMeta(map[string]string{metaHighest: formatNumber(n)})
		}
		return nil
	})
}

func (s *sqliteShard) Place(ctx context.Context, plan Plan) (now Plan, err error) {
	err = s.enrol(ctx, "take its partitions", func(tx *sqliteTx) error {
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
		if err := tx.writeMeta(map[string]string{metaPlan: string(stored)}); err != nil {
			return err
		}
		return tx.servePlanned(plan)
	})
	return now, err
}

// servePlanned makes the shard serve what the plan has for it, and raises the map's epoch.
func (tx *sqliteTx) servePlanned(plan Plan) error {
	var self chat.ShardNumber
	if err := tx.row("SELECT number FROM shard WHERE id = 1", nil, &self); err != nil {
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
	_, err := tx.exec("UPDATE shard SET map_epoch = map_epoch + 1 WHERE id = 1")
	return err
}

var partText = textsBySize(func(size int) string {
	return "INSERT INTO part (pid, state) VALUES " + strings.Repeat(",(?, 0)", size)[1:]
})

func (s *sqliteShard) Partitions(ctx context.Context) (epoch int64, pids []int, err error) {
	head, err := s.head(ctx)
	if err == nil {
		err = each(s.query(ctx, "SELECT pid FROM part WHERE state = 0 ORDER BY pid"))(func(rows *sql.Rows) error {
			var pid int
			err := rows.Scan(&pid)
			pids = append(pids, pid)
			return err
		})
	}
	if err != nil {
		return 0, nil, openProblem(s.name, s.file, err)
	}
	return head.MapEpoch, pids, nil
}

func formatNumber(n chat.ShardNumber) string { return strconv.Itoa(int(n)) }

func parseNumber(s string) (chat.ShardNumber, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n >= chat.MaxShards {
		return 0, fmt.Errorf("its highest shard number is %q", s)
	}
	return chat.ShardNumber(n), nil
}
