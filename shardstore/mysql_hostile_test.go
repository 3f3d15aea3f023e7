package shardstore_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/shardstore"
)

// What an operator, or a server's settings for all its clients, can do to a shard that is in use.

func TestAnOlderStateUnderARunningServerIsNotWritten(t *testing.T) {
	s := newMySQLShard(t, mysqltest.Shared(t))
	for i := range 20 {
		insist(t, s.Store, toBob(fmt.Sprint(i)))
	}
	// A restored dump, or a replica that lagged behind and was promoted: its rows and its counter agree.
	execAll(t, s.db, "DELETE FROM inbox ORDER BY seq DESC LIMIT 10", "UPDATE shard SET counter = (SELECT MAX(seq) DIV 1024 FROM inbox)")
	before := len(s.inbox())
	_, err := try(t, s.Store, toBob("after"))
	refused(t, err, chat.CodeUnavail, "multichat shard lift")
	if n := len(s.inbox()); n != before {
		t.Errorf("%d messages were stored where readers have passed already", n-before)
	}
	if err := shardstore.Lift(t.Context(), urlSpecs(s.url), shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	insist(t, s.Store, toBob("after"))
}

func TestAShardWithoutItsRowTakesNothing(t *testing.T) {
	s := newMySQLShard(t, mysqltest.Shared(t))
	insist(t, s.Store, toBob("before"))
	known := []chat.Login{{Device: chat.Device{User: "bob", ID: "known"}}}
	if _, err := s.LoginDevices(t.Context(), 0, known); err != nil {
		t.Fatal(err)
	}
	execAll(t, s.db, "CREATE TABLE kept LIKE shard")
	// What it takes a seq for is no message, so nothing but the row says that the next packet's is no new one.
	if err := s.AddUser(t.Context(), chat.User{ID: "dave", Name: "dave"}); err != nil {
		t.Fatal(err)
	}
	execAll(t, s.db, "INSERT INTO kept SELECT * FROM shard", "DELETE FROM shard")
	if _, err := s.LoginDevices(t.Context(), 0, known); chat.AsError(err) == nil || chat.AsError(err).Code != chat.CodeUnavail {
		t.Errorf("a device that is known: %v, want unavail", err)
	}
	for name, write := range map[string]func() error{
		"one message": func() error { _, err := try(t, s.Store, toBob("1")); return err },
		"two messages": func() error {
			_, err := s.Append(t.Context(), 0, []chat.Submission{toBob("1"), toBob("2")})
			return err
		},
		"AddUser":     func() error { return s.AddUser(t.Context(), chat.User{ID: "carol", Name: "carol"}) },
		"SetPassword": func() error { return s.SetPassword(t.Context(), "bob", "other") },
		"RemoveUser":  func() error { return s.RemoveUser(t.Context(), "bob") },
		"OpenCursors": func() error {
			_, err := s.OpenCursors(t.Context(), 0, []chat.Device{{User: "bob", ID: "d"}})
			return err
		},
		"LoginDevices": func() error {
			_, err := s.LoginDevices(t.Context(), 0, []chat.Login{{Device: chat.Device{User: "bob", ID: "d"}}})
			return err
		},
	} {
		if err := write(); chat.AsError(err) == nil || chat.AsError(err).Code != chat.CodeUnavail {
			t.Errorf("%s: %v, want unavail", name, err)
		}
	}
	if err := shardstore.Lift(t.Context(), urlSpecs(s.url), shardstore.Options{}); err == nil {
		t.Error("Lift changed nothing and says nothing")
	}
	execAll(t, s.db, "INSERT INTO shard SELECT * FROM kept")
	if ids := s.inbox(); len(ids) != 1 {
		t.Errorf("stored: %v; want nothing new", ids)
	}
	users, err := s.Users(t.Context(), 0, []chat.UserID{"bob", "carol"})
	if err != nil || len(users) != 1 || users[0].Hash != "" {
		t.Errorf("users: %+v, %v; want bob as he was", users, err)
	}
}

func TestReadersBesideAWriterKeepTheirConnections(t *testing.T) {
	server := mysqltest.Start(t)
	s := newMySQLShard(t, server)
	admin := server.AdminDB(t)
	made := func() (n int) {
		if err := admin.QueryRow("SHOW GLOBAL STATUS LIKE 'Connections'").Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	insist(t, s.Store, toBob("first"))
	before := made()
	var group sync.WaitGroup
	written := make(chan struct{})
	group.Go(func() {
		defer close(written)
		for i := range 300 {
			insist(t, s.Store, toBob(fmt.Sprint(i)))
		}
	})
	for range 4 {
		group.Go(func() {
			for {
				if _, _, err := s.Arrivals(t.Context(), 0, 0, chat.Head{}, 0); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-written:
					return
				default:
				}
			}
		})
	}
	group.Wait()
	if n := made() - before; n > 10 { // the pool's own are up to five
		t.Errorf("%d connections were made", n)
	}
}

func TestAfterASwitchoverNothingIsWrittenToTheOldHost(t *testing.T) {
	t.Parallel()
	url, servers := twins(t)
	first, second := servers[0].AdminDB(t), servers[1].AdminDB(t)
	execAll(t, second, "SET GLOBAL read_only = 1")
	initURL(t, url)
	store := openURL(t, url, shardstore.Options{})
	if err := store.AddUser(t.Context(), chat.User{ID: "bob", Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	cursors, err := store.OpenCursors(t.Context(), 0, []chat.Device{{User: "bob", ID: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	stored, _ := insist(t, store, toBob("1"))
	execAll(t, first, "SET GLOBAL read_only = 1")
	copyDatabase(t, first, second, "twin")
	execAll(t, second, "SET GLOBAL read_only = 0")
	cursors[0].Inbox = stored.Seq
	for range 10 { // more than there are connections
		if _, err := store.RaiseCursors(t.Context(), 0, cursors); err != nil {
			t.Fatal(err)
		}
	}
	var at chat.Seq
	if err := second.QueryRow("SELECT inbox_seq FROM twin.`cursor`").Scan(&at); err != nil || at != stored.Seq {
		t.Errorf("the cursor on the new host is %v, %v; want %v", at, err, stored.Seq)
	}
}

// Whatever a server sets for all its clients, a shard's sessions are as they must be.
func TestAServersSettingsForItsClientsChangeNothing(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"another charset for all":      {"--init-connect=SET NAMES gbk"},
		"a charset that is not agreed": {"--loose-character-set-client-handshake=OFF", "--character-set-server=gbk"},
		"no autocommit":                {"--autocommit=0"},
		"chained transactions":         {"--completion-type=1"},
		"few rows":                     {"--init-connect=SET SESSION sql_select_limit=1"},
		"no backslashes":               {"--sql-mode=NO_BACKSLASH_ESCAPES,ANSI_QUOTES"},
	} {
		t.Run(name, func(t *testing.T) {
			server := mysqltest.Start(t, options...)
			s := newMySQLShard(t, server)
			hostile := toBob("id")
			// In gbk the first two bytes are one character, and the quote ends the text.
			hostile.Text = []byte("\xbf'); UPDATE users SET password = 'stolen'; COMMIT; -- \\\\' \\")
			stored, _ := insist(t, s.Store, hostile)
			insist(t, s.Store, toBob("second"))
			page, err := s.Page(t.Context(), "bob", 0, 1<<62, 10, 1000)
			if err != nil || len(page) != 2 || string(page[0].Text) != string(hostile.Text) {
				t.Errorf("%q, %v; want both texts as they were sent", page, err)
			}
			users, err := s.Users(t.Context(), 0, []chat.UserID{"alice", "bob"})
			if err != nil || len(users) != 2 || users[0].Hash != "" || users[1].Hash != "" {
				t.Errorf("%+v, %v; want the users as they were", users, err)
			}
			cursors, err := s.OpenCursors(t.Context(), 0, []chat.Device{{User: "bob", ID: "d"}})
			if err != nil {
				t.Fatal(err)
			}
			cursors[0].Inbox = stored.Seq
			if _, err := s.RaiseCursors(t.Context(), 0, cursors); err != nil {
				t.Fatal(err)
			}
			other := openURL(t, s.url, shardstore.Options{})
			if again, err := other.OpenCursors(t.Context(), 0, []chat.Device{cursors[0].Device}); err != nil || again[0].Inbox != stored.Seq {
				t.Errorf("another process sees the cursor %+v, %v; want it at %v", again, err, stored.Seq)
			}
			logins := []chat.Login{{Device: cursors[0].Device, Nonce: 1}, phoneLogin(2)}
			if cursors, err = s.LoginDevices(t.Context(), 0, logins); err != nil {
				t.Fatal(err)
			}
			for i, l := range logins {
				if c := cursors[i]; c.Device != l.Device || c.Inbox != stored.Seq || c.Session != chat.NextSession(0, l.Nonce) {
					t.Errorf("login %d: %+v; want it in the first session, at %v", i, c, stored.Seq)
				}
			}
		})
	}
}

func TestABinlogOfStatementsIsRefused(t *testing.T) {
	server := mysqltest.Start(t)
	s := newMySQLShard(t, server)
	execAll(t, server.AdminDB(t), "SET GLOBAL binlog_format = 'STATEMENT'")
	if _, err := shardstore.Open(t.Context(), urlSpecs(s.url), shardstore.Options{}); !errors.Is(err, shardstore.ErrNotFit) {
		t.Errorf("the error is %v, want ErrNotFit", err)
	}
}

// A backup may lock all tables for minutes. Writes that gave up must not wait on in the server, where they would take
// all connections.
func TestWritesUnderABackupsLockDoNotPileUp(t *testing.T) {
	t.Parallel()
	server := mysqltest.Start(t)
	s := newMySQLShard(t, server)
	insist(t, s.Store, toBob("before"))
	admin := server.AdminDB(t)
	backup, err := admin.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close()
	if _, err := backup.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK"); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := try(t, s.Store, toBob("meanwhile")); err == nil {
			t.Fatal("a message was stored under the lock")
		}
	}
	for deadline := time.Now().Add(holdUp); ; time.Sleep(10 * time.Millisecond) {
		var waiting int
		err := admin.QueryRow("SELECT COUNT(*) FROM information_schema.processlist " +
			"WHERE info LIKE '%UPDATE shard%' AND info NOT LIKE '%processlist%'").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d writes still wait in the server", waiting)
		}
	}
	if _, err := backup.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	insist(t, s.Store, toBob("meanwhile"))
	if n := s.inbox()["meanwhile"]; n != 1 {
		t.Errorf("stored %d times", n)
	}
}

func TestAMemberOfAReplicationGroupIsWrittenWhenItIsPrimary(t *testing.T) {
	t.Parallel()
	if flavor := mysqltest.Shared(t).Flavor(); flavor != mysqltest.MySQL {
		t.Skipf("%s has no replication groups", flavor)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	group := port.Addr().String()
	port.Close()
	server := mysqltest.Start(t, "--performance-schema=ON", "--gtid-mode=ON", "--enforce-gtid-consistency=ON",
		"--plugin-load-add=group_replication.so", "--group-replication-group-name=9b6f8a52-6f0c-4c57-8d5e-1a8c3f5c2a11",
		"--group-replication-start-on-boot=OFF", "--group-replication-local-address="+group,
		"--group-replication-bootstrap-group=ON")
	url, _ := server.Database(t)
	admin := server.AdminDB(t)
	open := func() error { return shardstore.Init(t.Context(), urlSpecs(url), shardstore.Options{}) }
	if err := open(); !errors.Is(err, shardstore.ErrRefused) || !strings.Contains(err.Error(), "GRANT SELECT ON performance_schema") {
		t.Errorf("an account that may not look at the group: %v", err)
	}
	user, _, _ := strings.Cut(strings.TrimPrefix(url, "mysql://"), "@")
	execAll(t, admin, "GRANT SELECT ON performance_schema.replication_group_members TO '"+user+"'@'%'")
	if err := open(); !errors.Is(err, shardstore.ErrUnreachable) || !strings.Contains(err.Error(), "not a primary") {
		t.Errorf("a member that is offline: %v", err)
	}
	execAll(t, admin, "START GROUP_REPLICATION")
	if err := open(); err != nil {
		t.Errorf("the primary: %v", err)
	}
}
