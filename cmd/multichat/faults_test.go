package main_test

// These tests break what lies between the processes, while a crowd goes on.

import (
	"database/sql"
	"fmt"
	"net/url"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/internal/proctest"
)

// The worst moment to lose a database: what was sent is stored, and no server has been told.
func TestADatabaseCutOffBetweenCommitAndAnswerDoublesNothing(t *testing.T) {
	t.Parallel()
	var relays []*mysqltest.Relay
	var databases []*sql.DB
	on := onMySQL
	on.shard = func(t testing.TB) string {
		database, db := mysqltest.Shared(t).Database(t)
		relay := mysqltest.NewRelay(t, hostOf(t, database))
		relays, databases = append(relays, relay), append(databases, db)
		return relay.Through(database)
	}
	c := newCluster(t, on, 3)
	senders, readers := c.addUsers("sender", 12), c.userOnEachShard("reader")
	c.startServers()
	_, first := c.startProxy(0)
	_, second := c.startProxy(1)
	crowd := newCrowd(t)
	for i, user := range readers {
		crowd.readByLibrary(user, "library", fmt.Sprint("127.0.6.", 100+i), first, second)
		crowd.readRaw(user, "raw", fmt.Sprint("127.0.6.", 102+i), second, first)
	}
	crowd.greet(first)
	for i, user := range senders {
		ip, to := fmt.Sprint("127.0.6.", 104+i), readers[i%2]
		if i < 4 {
			crowd.sendByLibrary(user, to, ip, first, second)
		} else {
			crowd.sendRaw(user, to, ip, second, first)
		}
	}
	crowd.wantMore(10)
	for round := range 6 {
		i := round % 2
		switch relay := relays[i]; round {
		case 4, 5:
			relay.When("INSERT INTO inbox", func() { relay.CutAfter(100) }) // and some writes end in the middle
			time.Sleep(300 * time.Millisecond)
			relay.Drop()
		default:
			relay.When("; COMMIT", relay.CutReplies)
			proctest.Eventually(t, 10*time.Second, func() error {
				stored := storedRows(t, databases[i], readers[i])
				time.Sleep(50 * time.Millisecond) // an answer that is not lost would be there by then
				if answered := crowd.stored(readers[i]); stored <= answered {
					return fmt.Errorf("%d messages to %s are stored, and %d answered", stored, readers[i], answered)
				}
				return nil
			})
			relay.Drop()
		}
		crowd.wantMore(10)
	}
	crowd.wantAnswers(chat.CodeUnknown)
	crowd.wantDelivered()
	for i, db := range databases {
		if stored, answered := storedRows(t, db, readers[i]), crowd.stored(readers[i]); stored != answered {
			t.Errorf("%d messages to %s are stored, and %d were answered ok", stored, readers[i], answered)
		}
	}
	t.Logf("%d messages; the longest wait for an answer was %v", crowd.total(), crowd.longest(anyMessage))
}

func hostOf(t testing.TB, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// storedRows is how many messages of a crowd's senders to a user a shard has.
func storedRows(t *testing.T, db *sql.DB, user string) (n int) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM inbox WHERE userid = ? AND from_user LIKE 'sender%'", user).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A client whose answers are lost sends again under the same ids, and its recipients are shown everything once.
func TestAnswersThatAreLostDoubleNothing(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		var direct, gates []gate
		var relays []*mysqltest.Relay
		for i := range 2 {
			_, g := c.startProxy(i)
			relay := mysqltest.NewRelay(t, g.tcp)
			direct, gates, relays = append(direct, g), append(gates, gate{g.udp, relay.Addr()}), append(relays, relay)
		}
		crowd := newCrowd(t)
		crowd.readByLibrary("bob", "library", "127.0.6.121", direct...)
		crowd.readRaw("bob", "raw", "127.0.6.122", direct...)
		crowd.greet(direct[0])
		crowd.sendByLibrary("carol", "bob", "127.0.0.1", gates...)
		lines, finish := crowd.sendLines("alice", "bob", gates...)
		library, reader := crowd.senders[0], crowd.readers[0]
		for round := range 5 {
			begin := reader.count(lines)
			crowd.wantMore(10)
			proctest.Eventually(t, 20*time.Second, func() error {
				if n := reader.count(lines) - begin; n < 10 {
					return fmt.Errorf("%d more lines have come", n)
				}
				return nil
			})
			for _, relay := range relays {
				relay.CutReplies()
			}
			proctest.Eventually(t, 10*time.Second, func() error {
				come := reader.count(library)
				time.Sleep(100 * time.Millisecond) // an answer that is not lost would be there by then
				if answered := library.stored(); come <= answered {
					return fmt.Errorf("%d messages of the library have come, and %d are answered", come, answered)
				}
				return nil
			})
			if round == 2 {
				time.Sleep(5 * time.Second) // the clients notice by themselves, and meet the same at the other proxy
			}
			for _, relay := range relays {
				relay.Drop()
			}
		}
		crowd.wantMore(10)
		t.Logf("%d messages; the longest wait for an answer was %v", crowd.total(), crowd.longest(anyMessage))
		finish()
		crowd.wantAnswers()
		crowd.wantDelivered()
	})
}

// A shard whose row is locked by somebody else holds up what is sent there, and nothing else.
func TestALockedShardHoldsUpItsOwnSendsAlone(t *testing.T) {
	t.Parallel()
	const locked = 3 * time.Second
	var databases []*sql.DB
	on := onMySQL
	on.shard = func(t testing.TB) string {
		database, db := mysqltest.Shared(t).Database(t)
		databases = append(databases, db)
		return database
	}
	c := newCluster(t, on, 2)
	senders, readers := c.addUsers("sender", 8), c.userOnEachShard("reader")
	c.startServers()
	_, g := c.startProxy(0)
	crowd := newCrowd(t)
	for i, user := range readers {
		crowd.readByLibrary(user, "library", fmt.Sprint("127.0.6.", 151+i), g)
		crowd.readAsOld(user, fmt.Sprint("127.0.6.", 153+i), g, newer)
	}
	crowd.greet(g)
	for i, user := range senders {
		ip, to := fmt.Sprint("127.0.6.", 155+i), readers[i%2]
		switch {
		case i < 2:
			crowd.sendByLibrary(user, to, ip, g)
		case i < 4:
			crowd.sendAsOld(user, to, ip, g)
		default:
			crowd.sendRaw(user, to, ip, g)
		}
	}
	crowd.wantMore(10)
	for i, db := range databases {
		begin := time.Now()
		tx, err := db.Begin()
		if err == nil {
			_, err = tx.Exec("SELECT * FROM shard WHERE id = 1 FOR UPDATE")
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(locked)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		end := time.Now()
		crowd.wantMore(10)
		held := func(to string) func(sending) bool { // until the lock was gone
			return func(m sending) bool {
				return m.to == to && m.begun.After(begin) && m.begun.Before(begin.Add(locked/3)) && m.ended.After(end)
			}
		}
		own, other := crowd.longest(held(readers[i])), crowd.longest(held(readers[1-i]))
		t.Logf("of the locked shard, the longest wait for an answer was %v", own)
		if own.Duration < locked/2 || own.Duration > waitForDatabase {
			t.Errorf("a message to the locked shard waited for %v; want about %v", own, locked)
		}
		if other.Duration > 0 {
			t.Errorf("a message to the other shard was held up, too: for %v", other)
		}
	}
	crowd.wantAnswers()
	if again := crowd.wantDelivered(); again > 0 {
		t.Errorf("%d messages came again in version 1", again)
	}
}
