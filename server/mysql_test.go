package server_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/shardstore"
)

// newMySQLCluster is one shard on a MySQL server of the test's own, whose counters are db's to read.
func newMySQLCluster(t *testing.T) (c *cluster, db *sql.DB) {
	t.Helper()
	own := mysqltest.Start(t)
	url, _ := own.Database(t)
	c = &cluster{t: t, specs: []shardstore.Spec{{Name: "s0", URL: url}}}
	if err := shardstore.Init(t.Context(), c.specs, shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	c.Store = c.open()
	t.Cleanup(func() { c.Store.Close() })
	return c, own.AdminDB(t)
}

// statements is how many statements a MySQL server has been sent, this one included.
func statements(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SHOW GLOBAL STATUS LIKE 'Questions'").Scan(new(string), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// MySQL's own counter says that users who have nothing to get cost it nothing, however many they are.
func TestIdleUsersCostMySQLNothing(t *testing.T) {
	t.Parallel()
	for _, users := range []int{10, 1000} {
		t.Run(fmt.Sprint(users, " users"), func(t *testing.T) { testIdleUsers(t, users) })
	}
}

func testIdleUsers(t *testing.T, users int) {
	c, db := newMySQLCluster(t)
	ids := make([]chat.UserID, users)
	for i := range ids {
		ids[i] = chat.UserID(fmt.Sprint("user", i))
	}
	c.addUsers(ids...)
	n := c.serve()
	clients := make([]*client, users)
	for i, id := range ids {
		clients[i] = newClient(t, id)
	}
	pollAll := func() {
		for _, c := range clients {
			c.poll(n)
		}
	}
	eventually(t, "all devices are known", func() bool {
		pollAll()
		n.ticks()
		for _, c := range clients {
			if !n.Knows(c.user, c.addr, c.port) {
				return false
			}
		}
		return true
	})
	round := func() (sent, ticks int, took time.Duration) {
		began, sent, ticks := time.Now(), statements(t, db), n.store.count("Arrivals")
		for range 10 {
			pollAll()
			n.ticks()
		}
		return statements(t, db) - sent - 1, n.store.count("Arrivals") - ticks, time.Since(began)
	}
	eventually(t, "the last of them are through", func() bool { sent, ticks, _ := round(); return sent <= ticks+1 })
	sent, ticks, took := round()
	t.Logf("%d polls of %d users in %v: %d statements, %.1f a second, for %d ticks of the reader",
		10*users, users, took.Round(time.Millisecond), sent, float64(sent)/took.Seconds(), ticks)
	if sent > ticks+1 { // a tick may have begun before the count of ticks and sent its statement after it
		t.Errorf("%d statements for %d ticks of the reader; want one for each", sent, ticks)
	}
}
