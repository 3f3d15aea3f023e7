package shardstore_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"multichat/internal/chat"
	"multichat/shardstore"
)

// folder is where a test keeps shards: shard x is the file x.db in it.
type folder struct {
	t    *testing.T
	path string
}

func newFolder(t *testing.T) folder { return folder{t, t.TempDir()} }

func (f folder) specs(names ...string) []shardstore.Spec {
	var specs []shardstore.Spec
	for _, name := range names {
		specs = append(specs, shardstore.Spec{Name: name, URL: "sqlite:" + f.file(name)})
	}
	return specs
}

func (f folder) file(name string) string { return filepath.Join(f.path, name+".db") }

func (f folder) init(names ...string) {
	f.t.Helper()
	if err := shardstore.Init(f.t.Context(), f.specs(names...), shardstore.Options{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) open(names ...string) *shardstore.Store {
	f.t.Helper()
	store, err := shardstore.Open(f.t.Context(), f.specs(names...), shardstore.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { store.Close() })
	return store
}

// exec changes a shard's file behind everyone's back.
func (f folder) exec(name, text string, args ...any) {
	f.t.Helper()
	db, err := sql.Open("sqlite", f.file(name)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text, args...); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(f.file(name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		specs func(f folder) []shardstore.Spec
		kind  error
		want  string // a part of the sentence
	}{
		"no shards": {
			func(f folder) []shardstore.Spec { return nil },
			shardstore.ErrSpec, "no shard is given",
		},
		"a bad URL": {
			func(f folder) []shardstore.Spec { return []shardstore.Spec{{Name: "a", URL: "a.db"}} },
			shardstore.ErrSpec, "names no kind of database",
		},
		"a name given twice": {
			func(f folder) []shardstore.Spec {
				return append(f.specs("a"), shardstore.Spec{Name: "a", URL: "sqlite:b.db"})
			},
			shardstore.ErrSpec, "two shards are called a",
		},
		"a file given twice": {
			func(f folder) []shardstore.Spec {
				return append(f.specs("a"), shardstore.Spec{Name: "b", URL: f.specs("a")[0].URL})
			},
			shardstore.ErrSpec, "the same database",
		},
		"a bad name": {
			func(f folder) []shardstore.Spec { return f.specs("sub/a") },
			shardstore.ErrSpec, "a shard's name is",
		},
		"a file in a missing folder": {
			func(f folder) []shardstore.Spec {
				return []shardstore.Spec{{Name: "a", URL: "sqlite:" + f.path + "/missing/a.db"}}
			},
			shardstore.ErrSpec, "there is no folder",
		},
		"a folder": {
			func(f folder) []shardstore.Spec { return []shardstore.Spec{{Name: "a", URL: "sqlite:" + f.path}} },
			shardstore.ErrSpec, "is a folder: name a file in it",
		},
		"a missing file": {
			func(f folder) []shardstore.Spec { return f.specs("a") },
			shardstore.ErrNotInitialised, "multichat shard init",
		},
		"an empty file": {
			func(f folder) []shardstore.Spec { f.write("a", ""); return f.specs("a") },
			shardstore.ErrNotInitialised, "multichat shard init",
		},
		"no database": {
			func(f folder) []shardstore.Spec {
				f.write("a", strings.Repeat("shopping list\n", 100))
				return f.specs("a")
			},
			shardstore.ErrForeign, "is not a SQLite database",
		},
		"another program's database": {
			func(f folder) []shardstore.Spec {
				f.exec("a", "CREATE TABLE bookmarks (url TEXT)")
				return f.specs("a")
			},
			shardstore.ErrForeign, "another program",
		},
		"a shard of another cluster": {
			func(f folder) []shardstore.Spec { f.init("a"); f.init("b"); return f.specs("a", "b") },
			shardstore.ErrWrongCluster, "shard b belongs to another cluster (id ",
		},
		"a copy of a shard": {
			func(f folder) []shardstore.Spec {
				f.init("a")
				f.exec("a", "VACUUM INTO ?", f.file("b"))
				return f.specs("a", "b")
			},
			shardstore.ErrWrongCluster, "one is a copy of the other",
		},
		"another number of partitions": {
			func(f folder) []shardstore.Spec {
				f.init("a", "b")
				f.exec("b", "UPDATE meta SET v = CAST('7' AS BLOB) WHERE k = CAST('partitions' AS BLOB)")
				return f.specs("a", "b")
			},
			shardstore.ErrWrongCluster, "1021 and 7 partitions",
		},
		"another seed": {
			func(f folder) []shardstore.Spec {
				f.init("a", "b")
				f.exec("b", "UPDATE meta SET v = CAST('7' AS BLOB) WHERE k = CAST('seed' AS BLOB)")
				return f.specs("a", "b")
			},
			shardstore.ErrWrongCluster, "place mailboxes differently",
		},
		"a hash of tomorrow": {
			func(f folder) []shardstore.Spec {
				f.init("a")
				f.exec("a", "UPDATE meta SET v = CAST('blake9' AS BLOB) WHERE k = CAST('hash' AS BLOB)")
				return f.specs("a")
			},
			shardstore.ErrNewerSchema, "update it",
		},
		"a schema of tomorrow": {
			func(f folder) []shardstore.Spec {
				f.init("a")
				f.exec("a", "UPDATE meta SET v = CAST('9999' AS BLOB) WHERE k = CAST('min_reader' AS BLOB)")
				return f.specs("a")
			},
			shardstore.ErrNewerSchema, "for a newer multichat",
		},
		"a shard that is missing": {
			func(f folder) []shardstore.Spec { f.init("a", "b"); return f.specs("a") },
			shardstore.ErrMap, "give all shards of the cluster",
		},
		"a partition served by two": {
			func(f folder) []shardstore.Spec {
				f.init("a", "b")
				f.exec("a", "INSERT OR IGNORE INTO part (pid, state) VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0)")
				return f.specs("a", "b")
			},
			shardstore.ErrMap, "is served by both shard a and shard b",
		},
		"a partition that cannot be": {
			func(f folder) []shardstore.Spec {
				f.init("a")
				f.exec("a", "INSERT INTO part (pid, state) VALUES (1021, 0)")
				return f.specs("a")
			},
			shardstore.ErrMap, "serves partition 1021",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := shardstore.Open(t.Context(), c.specs(newFolder(t)), shardstore.Options{})
			if err == nil {
				store.Close()
			}
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v\nwant a %v with %q", err, c.kind, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is more than a sentence: %q", err)
			}
		})
	}
}

func TestOpenTakesANewerSchemaThatAllowsIt(t *testing.T) {
	f := newFolder(t)
	f.init("a")
	f.exec("a", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	f.exec("a", "ALTER TABLE users ADD COLUMN something_new INTEGER")
	f.open("a")
}

func TestOpenBringsAnOlderSchemaUpToDate(t *testing.T) {
	f := newFolder(t)
	f.init("a")
	f.exec("a", "DROP INDEX inbox_mailbox")
	f.exec("a", "DELETE FROM goose_db_version WHERE version_id >= 5") // as if cut off in the middle
	f.open("a")
	db, err := sql.Open("sqlite", f.file("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'inbox_mailbox'").Scan(&n); err != nil || n != 1 {
		t.Errorf("the index is there %d times, %v", n, err)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	f := newFolder(t)
	f.init("a")
	store := f.open("a")
	if err := store.AddUser(t.Context(), chat.User{ID: "bob", Name: "Bob"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(f.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}
