package shardstore_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"multichat/internal/mysqltest"
	"multichat/shardstore/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m, mysqltest.Stop) }

func TestMySQL(t *testing.T) {
	server := mysqltest.Shared(t)
	storetest.Run(t, func(t *testing.T) storetest.Database {
		url, db := server.Database(t)
		return storetest.Database{URL: url, SQL: db}
	})
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Database {
		file := filepath.Join(t.TempDir(), "shard #1?.db")
		db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Dir(file))+"/shard%20%231%3f.db?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return storetest.Database{URL: "sqlite:" + file, SQL: db}
	})
}
