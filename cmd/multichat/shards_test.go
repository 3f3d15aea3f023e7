package main_test

import (
	"database/sql"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"multichat/internal/mysqltest"
)

// A shard's password is never an argument, and never in what is printed.
func TestPasswordsOfShards(t *testing.T) {
	t.Parallel()
	database, _ := mysqltest.Shared(t).Database(t)
	withFile, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	file := withFile.Query().Get("password-file")
	password, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wrongFile := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrongFile, []byte("wrong-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bare := *withFile
	bare.RawQuery = ""
	inside := bare
	inside.User = url.UserPassword(bare.User.Username(), string(password))
	run(t, "shard", "init", "--shard", "a="+withFile.String())

	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		says string
	}{
		{"a file in the URL", nil, []string{"--shard", "a=" + withFile.String()}, 0, ""},
		{"the environment", []string{"MULTICHAT_SHARD_PASSWORD=" + string(password)}, []string{"--shard", "a=" + bare.String()}, 0, ""},
		{"a file in the environment", []string{"MULTICHAT_SHARD_PASSWORD_FILE=" + file}, []string{"--shard", "a=" + bare.String()}, 0, ""},
		{"a file as an argument, which wins", []string{"MULTICHAT_SHARD_PASSWORD=wrong-password"},
			[]string{"--shard-password-file", file, "--shard", "a=" + bare.String()}, 0, ""},
		{"in the URL in the environment", []string{"MULTICHAT_SHARD=a=" + inside.String()}, nil, 0, ""},
		{"in the URL as an argument", nil, []string{"--shard", "a=" + inside.String()}, 2, "shard a: its password is an argument"},
		{"in the URL as one argument of two", nil, []string{"--shard", "b=sqlite:b.db", "--shard=a=" + inside.String()}, 2,
			"give it by --shard-password-file or MULTICHAT_SHARD_PASSWORD"},
		{"in the URL in the wrong place", nil, []string{"a=" + inside.String()}, 2, "unexpected argument a=mysql://…@"},
		{"none", nil, []string{"--shard", "a=" + bare.String()}, 1, "its password"},
		{"a wrong one", []string{"MULTICHAT_SHARD_PASSWORD_FILE=" + wrongFile}, []string{"--shard", "a=" + bare.String()}, 1, "its password"},
		{"a file that is not there", []string{"MULTICHAT_SHARD_PASSWORD_FILE=" + wrongFile + "er"}, []string{"--shard", "a=" + bare.String()}, 2,
			"password cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"user", "add", "u" + strings.ToLower(strings.ReplaceAll(c.name, " ", "-"))}, c.args...)
			out, code := runIn(t, append(c.env, "MULTICHAT_PASSWORD=demo"), "", args...)
			if code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("exit code %d, said %q; want %d and %q", code, out, c.code, c.says)
			}
			if strings.Contains(out, string(password)) || strings.Contains(out, "wrong-password") {
				t.Errorf("it said the password: %q", out)
			}
		})
	}
}

func TestADatabaseThatMayLoseMessagesIsRefused(t *testing.T) {
	t.Parallel()
	database, _ := mysqltest.Start(t, "--sync-binlog=0").Database(t)
	shard := "a=" + database
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"shard", "init"}, 1, "set sync_binlog=1, or give --allow-nondurable"},
		{[]string{"shard", "init", "--allow-nondurable"}, 0, "1 shard is ready"},
		{[]string{"user", "add", "alice"}, 1, "set sync_binlog=1"},
		{[]string{"user", "add", "alice", "--allow-nondurable"}, 0, "user alice is ready"},
		{[]string{"shard", "status"}, 1, "lacks sync_binlog=1"},
		{[]string{"shard", "status", "--allow-nondurable"}, 0, "lacks sync_binlog=1"},
		{[]string{"shard", "status", "--json"}, 1, `"durable": false`},
		{[]string{"shard", "lift"}, 1, "set sync_binlog=1"},
		{[]string{"server", "--cluster-key-file", newClusterKey(t)}, 1, "set sync_binlog=1"},
	} {
		out, code := runIn(t, []string{"MULTICHAT_PASSWORD=demo"}, "", append(c.args, "--shard", shard)...)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%v: exit code %d, said %q; want %d and %q", c.args, code, out, c.code, c.says)
		}
	}
	p, admin := startLonely(t, "--shard", shard, "--allow-nondurable")
	waitReady(t, admin)
	p.terminate(t)
}

func TestStatusOfShards(t *testing.T) {
	on(t, []ground{onSQLite, onMySQL}, func(t *testing.T, on ground) {
		c := newCluster(t, on, 0)
		out, code := runIn(t, nil, "", append([]string{"shard", "status", "--json"}, c.shards...)...)
		var found []struct {
			Name, Version                string
			Reachable, Everyone, Durable bool
			Number, Partitions           int
			Messages, Bytes              int64
			NeedsLift                    bool   `json:"needs_lift"`
			ClockMS                      *int64 `json:"clock_ms"`
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || len(found) != 2 {
			t.Fatalf("exit code %d, %v, said %s", code, err, out)
		}
		a, b := found[0], found[1]
		if a.Name != "a" || b.Name != "b" || a.Number != 0 || b.Number != 1 || a.Partitions+b.Partitions != 1021 || a.Everyone == b.Everyone {
			t.Errorf("got %+v", found)
		}
		for _, st := range found {
			if !st.Reachable || !st.Durable || st.NeedsLift || st.Messages != 0 || st.Bytes == 0 || st.Version == "" || st.ClockMS == nil {
				t.Errorf("got %+v", st)
			}
		}
	})
}

// A database that was put together from a backup may have messages that its counter does not know of.
func TestARestoredShardNeedsALift(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.db")
	shard := []string{"--shard", "a=sqlite:" + file}
	run(t, append([]string{"shard", "init"}, shard...)...)
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `INSERT INTO inbox (seq, pid, userid, msg_id, from_user, from_name, sent_ms, body)
		VALUES (1024000, 1, x'62', x'31', x'61', x'61', 1, x'68')`)
	if err != nil {
		t.Fatal(err)
	}
	out, code := runIn(t, nil, "", append([]string{"shard", "status"}, shard...)...)
	if code != 1 || !strings.Contains(out, "needs multichat shard lift") || !strings.Contains(out, "of 1 shards, 1 cannot serve") {
		t.Errorf("before: exit code %d, said %s", code, out)
	}
	if out := run(t, append([]string{"shard", "lift"}, shard...)...); out != "1 shard is lifted: servers may start\n" {
		t.Errorf("lift said %q", out)
	}
	if out := run(t, append([]string{"shard", "status"}, shard...)...); !strings.HasSuffix(out, "  ok\n") {
		t.Errorf("after: %s", out)
	}
}
