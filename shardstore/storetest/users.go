package storetest

import (
	"cmp"
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"multichat/internal/chat"
	"multichat/shardstore"
)

var userTests = map[string]func(*testing.T, *rig){
	"a user is read as added":                     testUserFields,
	"a user is added once":                        testUserExists,
	"every change takes a seq and raises the rev": testUserRev,
	"who does not exist cannot be changed":        testNoUser,
	"a namesake gets nothing of an earlier user":  testNamesake,
	"who is removed is a user to nobody":          testRemoved,
	"ListUsers is all, by id":                     testListUsers,
}

func testUserFields(t *testing.T, r *rig) {
	newest := r.send(chat.Everyone, "1")[0]
	u := chat.User{ID: "Dävid", Name: "Däve", Hash: "$argon2id$…"}
	if err := r.AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	u.BroadcastFrom = newest
	got, err := r.Users(t.Context(), r.shard, []chat.UserID{"nobody", u.ID, "BOB"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]chat.User{u}, got); diff != "" {
		t.Errorf("(-added +read):\n%s", diff)
	}
}

func testUserExists(t *testing.T, r *rig) {
	before := r.head()
	if err := r.AddUser(t.Context(), chat.User{ID: "bob", Name: "Other"}); !errors.Is(err, shardstore.ErrUserExists) {
		t.Errorf("%v, want ErrUserExists", err)
	}
	if r.head() != before {
		t.Error("something was written")
	}
}

func testUserRev(t *testing.T, r *rig) {
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"AddUser", func() error { return r.AddUser(t.Context(), chat.User{ID: "dave", Name: "Dave"}) }},
		{"SetPassword", func() error { return r.SetPassword(t.Context(), "dave", "new") }},
		{"RemoveUser", func() error { return r.RemoveUser(t.Context(), "dave") }},
	} {
		before := r.head()
		if err := change.do(); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		after := r.head()
		if after.UserRev <= before.UserRev || after.Newest.Counter() != before.Newest.Counter()+1 {
			t.Errorf("%s: the head went from %+v to %+v", change.name, before, after)
		}
		users, err := r.Users(t.Context(), r.shard, []chat.UserID{"dave"})
		if err != nil {
			t.Fatal(err)
		}
		if change.name == "SetPassword" && users[0].Hash != "new" || change.name == "RemoveUser" && len(users) != 0 {
			t.Errorf("after %s: %+v", change.name, users)
		}
	}
}

func testNoUser(t *testing.T, r *rig) {
	before := r.head()
	if err := r.SetPassword(t.Context(), "nobody", "x"); !errors.Is(err, shardstore.ErrNoUser) {
		t.Errorf("SetPassword: %v, want ErrNoUser", err)
	}
	if err := r.RemoveUser(t.Context(), "nobody"); !errors.Is(err, shardstore.ErrNoUser) {
		t.Errorf("RemoveUser: %v, want ErrNoUser", err)
	}
	if r.head() != before {
		t.Error("something was written")
	}
}

func testNamesake(t *testing.T, r *rig) {
	r.openCursor("bob", "phone")
	r.send("bob", "for the first bob")
	r.send(chat.Everyone, "before the second bob")
	if err := r.RemoveUser(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if got := r.devices("bob"); len(got) != 0 {
		t.Errorf("devices left: %v", got)
	}
	r.addUser("bob")
	c := r.openCursor("bob", "phone")
	r.send("bob", "for the second bob")
	page, err := r.Page(t.Context(), "bob", c.Inbox, 1<<62, 10, 1000)
	if err != nil || texts(page) != "for the second bob " {
		t.Errorf("the second bob's mail: %s, %v", texts(page), err)
	}
	page, err = r.Page(t.Context(), chat.Everyone, c.Broadcast, 1<<62, 10, 1000)
	if err != nil || len(page) != 0 {
		t.Errorf("the second bob's broadcasts: %s, %v", texts(page), err)
	}
}

func testRemoved(t *testing.T, r *rig) {
	c := r.login(login("phone", 1))[0]
	carols := r.openCursor("carol", "phone")
	stored := r.send("bob", "1")[0]
	if err := r.RemoveUser(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	answers := r.append(submission("id of 1", "bob", "1"), submission("id of 2", "bob", "2"), submission("id of 3", "carol", "3"))
	if answers[0].Seq != stored || !answers[0].Existed {
		t.Errorf("what was stored before, again: %+v; want seq %v", answers[0], stored)
	}
	wantCode(t, answers[1].Err, chat.CodeNoUser)
	if answers[2].Err != nil {
		t.Errorf("the other of the batch: %v", answers[2].Err)
	}
	if got := r.login(login("phone", 2), takeOver("phone", 1)); got[0] != (chat.Cursor{}) || got[1] != (chat.Cursor{}) {
		t.Errorf("logins: %+v, want none", got)
	}
	c.Inbox = stored
	if got := r.tryRaise(c); !slices.Equal(got, []chat.Device{c.Device}) || len(r.devices("bob")) > 0 {
		t.Errorf("a raise for the stream that was there: outdated are %v, devices %v", got, r.devices("bob"))
	}
	if got := r.openCursor("carol", "phone"); got != carols {
		t.Errorf("another user's device is %+v, was %+v", got, carols)
	}
}

func testListUsers(t *testing.T, r *rig) {
	r.addUser("Zoe")
	r.addUser("aaron")
	users, err := r.ListUsers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, u := range users {
		ids = append(ids, string(u.ID))
	}
	if want := []string{"Zoe", "aaron", "alice", "bob", "carol"}; !slices.Equal(ids, want) {
		t.Errorf("%v, want %v", ids, want)
	}
}

// devices are the devices of a user that are remembered, sorted.
func (r *rig) devices(user chat.UserID) []chat.DeviceID {
	r.t.Helper()
	rows, err := r.db.SQL.QueryContext(r.t.Context(), "SELECT device FROM `cursor` WHERE userid = ?", []byte(user))
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	var ids []chat.DeviceID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, chat.DeviceID(id))
	}
	slices.SortFunc(ids, cmp.Compare)
	return ids
}
