package main_test

import (
	"path/filepath"
	"testing"

	"multichat/internal/mysqltest"
)

// ground is what a cluster stands on.
type ground struct {
	name  string
	shard func(t testing.TB) (url string) // a database for one more shard
	flags []string                        // of its servers, besides
}

var (
	onSQLite     = ground{name: "SQLite", shard: sqliteShard}
	onSQLiteSync = ground{name: "SQLite and the sync engine", shard: sqliteShard, flags: []string{"--engine=sync"}}
	onMySQL      = ground{name: "MySQL", shard: mysqlShard}
)

func sqliteShard(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "shard.db") }

func mysqlShard(t testing.TB) string {
	t.Helper()
	url, _ := mysqltest.Shared(t).Database(t)
	return url
}

// on runs a test on several grounds, all at once.
func on(t *testing.T, grounds []ground, test func(*testing.T, ground)) {
	t.Parallel()
	for _, g := range grounds {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			test(t, g)
		})
	}
}

// onEachAlone runs a test on several grounds, one after another and beside no other test: for what holds the system to a
// deadline, which is for a machine that is not full of others' work.
func onEachAlone(t *testing.T, grounds []ground, test func(*testing.T, ground)) {
	for _, g := range grounds {
		t.Run(g.name, func(t *testing.T) { test(t, g) })
	}
}
