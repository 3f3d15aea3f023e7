package shardstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/shardstore"
)

// mysqlShard is an initialised shard, number 0, with the users alice and bob, open as a store.
type mysqlShard struct {
	*shardstore.Store
	t   *testing.T
	url string
	db  *sql.DB // of the same account
}

func newMySQLShard(t *testing.T, server *mysqltest.Server) *mysqlShard {
	t.Helper()
	url, db := server.Database(t)
	initURL(t, url)
	s := &mysqlShard{Store: openURL(t, url, shardstore.Options{}), t: t, url: url, db: db}
	for _, id := range []chat.UserID{"alice", "bob"} {
		if err := s.AddUser(t.Context(), chat.User{ID: id, Name: string(id)}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func initURL(t *testing.T, urls ...string) {
	t.Helper()
	if err := shardstore.Init(t.Context(), urlSpecs(urls...), shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
}

// openURL opens shards called a, b, ….
func openURL(t *testing.T, url string, opt shardstore.Options) *shardstore.Store {
	t.Helper()
	store, err := shardstore.Open(t.Context(), urlSpecs(url), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func urlSpecs(urls ...string) (specs []shardstore.Spec) {
	for i, url := range urls {
		specs = append(specs, shardstore.Spec{Name: string(rune('a' + i)), URL: url})
	}
	return specs
}

// toBob is a message whose id is its text.
func toBob(text string) chat.Submission {
	return chat.Submission{ID: chat.MessageID(text[:min(len(text), 64)]), From: "alice", FromName: "alice", To: "bob",
		Text: []byte(text), Sent: time.Now()}
}

// try sends one message and returns the error of the batch or of the message.
func try(t *testing.T, store *shardstore.Store, m chat.Submission) (chat.Stored, error) {
	stored, err := store.Append(t.Context(), 0, []chat.Submission{m})
	if err != nil {
		return chat.Stored{}, err
	}
	if stored[0].Err != nil {
		return chat.Stored{}, stored[0].Err
	}
	return stored[0], nil
}

// insist sends one message until it is stored, as a server does, and says how long that took.
func insist(t *testing.T, store *shardstore.Store, m chat.Submission) (chat.Stored, time.Duration) {
	t.Helper()
	begun := time.Now()
	for {
		stored, err := try(t, store, m)
		if err == nil {
			return stored, time.Since(begun)
		}
		if code := chat.AsError(err).Code; code != chat.CodeUnavail && code != chat.CodeUnknown || time.Since(begun) > 2*time.Minute {
			t.Fatalf("%s after %v: %v", m.ID, time.Since(begun), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// inbox is how often each id is stored.
func (s *mysqlShard) inbox() map[chat.MessageID]int {
	s.t.Helper()
	rows, err := s.db.QueryContext(s.t.Context(), "SELECT msg_id FROM inbox")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	ids := make(map[chat.MessageID]int)
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			s.t.Fatal(err)
		}
		ids[chat.MessageID(id)]++
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// refused checks that an error is a refusal with a code, whose cause, which only logs tell, has these words.
func refused(t *testing.T, err error, code chat.Code, cause string) {
	t.Helper()
	if e := chat.AsError(err); e == nil || e.Code != code || !strings.Contains(err.Error(), cause) {
		t.Errorf("the error is %v; want %s because of %q", err, code, cause)
	}
}

func execAll(t *testing.T, db *sql.DB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func TestAServerThatMayLoseWhatItAcknowledgedIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ option, lacks string }{
		"no binlog":       {"--skip-log-bin", "set log_bin=ON"},
		"a lazy binlog":   {"--sync-binlog=0", "set sync_binlog=1"},
		"a lazy redo log": {"--innodb-flush-log-at-trx-commit=2", "set innodb_flush_log_at_trx_commit=1"},
		"small packets":   {"--max-allowed-packet=1M", "set max_allowed_packet"},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := mysqltest.Start(t, c.option).Database(t)
			err := shardstore.Init(t.Context(), urlSpecs(url), shardstore.Options{})
			if !errors.Is(err, shardstore.ErrNotFit) || !strings.Contains(err.Error(), c.lacks) {
				t.Errorf("the error is %v; want ErrNotFit with %q", err, c.lacks)
			}
			if err := shardstore.Init(t.Context(), urlSpecs(url), shardstore.Options{AllowNondurable: true}); name != "small packets" && err != nil {
				t.Errorf("with AllowNondurable: %v", err)
			}
		})
	}
}

func TestWhatIsWrongWithADatabaseIsSaid(t *testing.T) {
	server := mysqltest.Shared(t)
	url, _ := server.Database(t)
	user, rest, _ := strings.Cut(strings.TrimPrefix(url, "mysql://"), "@")
	secret := rest[strings.Index(rest, "password-file=")+len("password-file="):]
	for name, c := range map[string]struct {
		url  string
		kind error
		says string
	}{
		"another password": {"mysql://" + user + ":Tr0ub4dor@" + strings.Split(rest, "?")[0], shardstore.ErrRefused, "the account or its password is refused"},
		"another user":     {"mysql://nobody@" + rest, shardstore.ErrRefused, "the account or its password is refused"},
		"no such database": {strings.Replace(url, "/multichat", "/nosuch", 1), shardstore.ErrRefused, ""},
		"no password file": {strings.Replace(url, "password-file=", "password-file=/nosuch", 1), shardstore.ErrSpec, "its password cannot be read"},
		"no trust":         {url + "&tls=true", shardstore.ErrRefused, "its certificate is not trusted here"},
		"nobody listens":   {"mysql://" + user + "@127.0.0.1:1/a?password-file=" + secret, shardstore.ErrUnreachable, "see whether the server runs"},
	} {
		err := shardstore.Init(t.Context(), urlSpecs(c.url), shardstore.Options{})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "Tr0ub4dor") {
			t.Errorf("%s: the error is %v; want %v with %q", name, err, c.kind, c.says)
		}
	}
}

func TestInspectTellsOfAServerWhatItsOperatorMustKnow(t *testing.T) {
	server := mysqltest.Start(t, "--sync-binlog=0")
	url, db := server.Database(t)
	if err := shardstore.Init(t.Context(), urlSpecs(url), shardstore.Options{AllowNondurable: true}); err != nil {
		t.Fatal(err)
	}
	store := openURL(t, url, shardstore.Options{AllowNondurable: true})
	if err := store.AddUser(t.Context(), chat.User{ID: "bob", Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	insist(t, store, toBob("1"))
	inspect := func() shardstore.Status {
		found, err := shardstore.Inspect(t.Context(), urlSpecs(url), shardstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return found[0]
	}
	st := inspect()
	if st.Err != nil || st.Messages != 1 || st.Bytes == 0 || !st.Everyone || st.Partitions != 1021 || st.Behind ||
		st.Lacks != "sync_binlog=1" || !strings.HasPrefix(st.Version, server.Flavor()+" ") || st.Clock.Abs() > time.Second {
		t.Errorf("%+v", st)
	}
	execAll(t, db, "UPDATE shard SET counter = 0")
	if st := inspect(); !st.Behind {
		t.Errorf("%+v; want Behind", st)
	}
}

// moveAllOnMySQL makes shard b serve all that shard a does, as whoever moves partitions would.
func moveAllOnMySQL(t *testing.T, a, b *sql.DB) {
	t.Helper()
	execAll(t, a, "UPDATE shard SET map_epoch = map_epoch + 1", "DELETE FROM part")
	var parts []string
	for pid := range 1021 {
		parts = append(parts, fmt.Sprintf("(%d, 0)", pid))
	}
	execAll(t, b, "DELETE FROM part", "INSERT INTO part (pid, state) VALUES "+strings.Join(parts, ","),
		"UPDATE shard SET map_epoch = map_epoch + 1")
}

func TestAFencedServerWritesNothingAndFindsItsNewMap(t *testing.T) {
	server := mysqltest.Shared(t)
	var urls [2]string
	var dbs [2]*sql.DB
	for i := range urls {
		urls[i], dbs[i] = server.Database(t)
	}
	initURL(t, urls[:]...)
	store, err := shardstore.Open(t.Context(), urlSpecs(urls[:]...), shardstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	id := userOn(store, 0)
	if err := store.AddUser(t.Context(), chat.User{ID: id, Name: "X"}); err != nil {
		t.Fatal(err)
	}
	message := []chat.Submission{{ID: "1", From: "alice", To: id.Mailbox(), Text: []byte("1"), Sent: time.Now()}}
	moveAllOnMySQL(t, dbs[0], dbs[1])
	if _, err := store.Append(t.Context(), 0, message); !errors.Is(err, chat.ErrMoved) {
		t.Fatalf("the error is %v, want ErrMoved", err)
	}
	if at := store.Locate(id.Mailbox()); at != 1 {
		t.Fatalf("the mailbox is on shard %d, want 1", at)
	}
	execAll(t, dbs[1], fmt.Sprintf("INSERT INTO users VALUES ('%s', 0, 'X', '', 0, 0)", id)) // as a move would bring it
	if stored, err := store.Append(t.Context(), 1, message); err != nil || stored[0].Err != nil || stored[0].Existed {
		t.Errorf("on the new shard: %+v, %v", stored, err)
	}
	var left int
	if err := dbs[0].QueryRow("SELECT COUNT(*) FROM inbox").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d messages are on the old shard, %v", left, err)
	}
}

// What does not answer is waited for, so what is wrong with another shard must not wait behind it.
func TestWhatIsWrongIsSaidBeforeWhatDoesNotAnswer(t *testing.T) {
	f := newFolder(t)
	f.write("b", "not a database")
	specs := append(urlSpecs("mysql://multichat@127.0.0.1:1/a"), f.specs("b")...)
	if _, err := shardstore.Open(t.Context(), specs, shardstore.Options{}); !errors.Is(err, shardstore.ErrForeign) {
		t.Errorf("the error is %v, want ErrForeign", err)
	}
}

// A batch as large as a server makes them, of texts that double in a statement, fits the packets of a server that takes
// just what it must.
func TestTheLargestTextsFitAPacket(t *testing.T) {
	s := newMySQLShard(t, mysqltest.Start(t, "--max-allowed-packet=4M"))
	text := strings.Repeat("'", chat.MaxText-2)
	var batch []chat.Submission
	for i := range 1<<20/chat.MaxText + 1 {
		m := toBob(fmt.Sprintf("%02d%s", i, text))
		m.ID = chat.MessageID(fmt.Sprint(i))
		batch = append(batch, m)
	}
	stored, err := s.Append(t.Context(), 0, batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, st := range stored {
		got, err := s.Bodies(t.Context(), 0, []chat.Seq{st.Seq})
		if err != nil || len(got) != 1 || string(got[0].Text) != string(batch[i].Text) {
			t.Fatalf("message %d: %d came back, %v", i, len(got), err)
		}
	}
}

// twins are two servers with the same database and account.
func twins(t *testing.T) (url string, servers [2]*mysqltest.Server) {
	hosts := make([]string, 2)
	password := t.TempDir() + "/password"
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range servers {
		servers[i] = mysqltest.Start(t)
		hosts[i] = servers[i].Addr()
		execAll(t, servers[i].AdminDB(t), "CREATE DATABASE twin", "CREATE USER twin@'%' IDENTIFIED BY 'secret'",
			"GRANT ALL ON twin.* TO twin@'%'")
	}
	return "mysql://twin@" + strings.Join(hosts, ",") + "/twin?password-file=" + password, servers
}

func TestOfSeveralHostsTheOneThatCanBeWrittenIsTaken(t *testing.T) {
	url, servers := twins(t)
	execAll(t, servers[0].AdminDB(t), "SET GLOBAL read_only = 1")
	initURL(t, url)
	store := openURL(t, url, shardstore.Options{})
	if err := store.AddUser(t.Context(), chat.User{ID: "bob", Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	insist(t, store, toBob("1"))
	rows := func(server *mysqltest.Server) (n int) {
		// The tables are not there on a server that was never written.
		server.AdminDB(t).QueryRow("SELECT COUNT(*) FROM twin.inbox").Scan(&n)
		return n
	}
	if rows(servers[0]) != 0 || rows(servers[1]) != 1 {
		t.Errorf("%d and %d messages; want them on the second host", rows(servers[0]), rows(servers[1]))
	}
}

// When the writing goes over to another host, nothing that was read there is looked for at the host before it.
func TestAHostThatWasLeftBehindIsNotRead(t *testing.T) {
	t.Parallel()
	url, servers := twins(t)
	first, second := servers[0].AdminDB(t), servers[1].AdminDB(t)
	execAll(t, second, "SET GLOBAL read_only = 1")
	initURL(t, url)
	store := openURL(t, url, shardstore.Options{})
	if err := store.AddUser(t.Context(), chat.User{ID: "bob", Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	insist(t, store, toBob("1"))
	// What the first host has comes to the second, which is written from then on. The first gets nothing more.
	execAll(t, first, "SET GLOBAL read_only = 1")
	execAll(t, second, "SET GLOBAL read_only = 0")
	copyDatabase(t, first, second, "twin")
	written, _ := insist(t, store, toBob("2"))
	for range 20 { // more than there are connections
		page, err := store.Page(t.Context(), "bob", 0, written.Seq, 10, 1000)
		if err != nil || len(page) != 2 || string(page[1].Text) != "2" {
			t.Fatalf("%d messages, %v; want both", len(page), err)
		}
	}
}

// copyDatabase brings a database's tables to a server, as its replication would.
func copyDatabase(t *testing.T, from, to *sql.DB, name string) {
	t.Helper()
	for _, table := range []string{"goose_db_version", "meta", "shard", "part", "users", "inbox", "`cursor`"} {
		var create string
		if err := from.QueryRow("SHOW CREATE TABLE "+name+"."+table).Scan(new(string), &create); err != nil {
			t.Fatal(err)
		}
		execAll(t, to, strings.Replace(create, "CREATE TABLE ", "CREATE TABLE "+name+".", 1))
		rows, err := from.Query("SELECT * FROM " + name + "." + table)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			text := "INSERT INTO " + name + "." + table + " VALUES (" + strings.Repeat(",?", len(columns))[1:] + ")"
			if _, err := to.Exec(text, values...); err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}
