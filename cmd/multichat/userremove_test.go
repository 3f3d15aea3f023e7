package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A user who is removed is gone for all at once, and a later one of the same name is somebody else.
func TestARemovedUserIsGone(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		_, g := c.startProxy(0)
		alice := startStream(t, "alice", "a", "127.0.4.1", g.tcp)
		bob := startStream(t, "bob", "b", "127.0.4.2", g.tcp)
		bystander := startStream(t, "carol", "c", "127.0.4.3", g.tcp)
		alice.mustSend(t, "1", "bob", "to the first bob")
		bob.waitTexts(t, "to the first bob")
		away := startStream(t, "bob", "away", "127.0.4.4", g.tcp)
		away.close()
		alice.mustSend(t, "2", "bob", "not read on every device of the first bob")

		run(t, slices.Concat([]string{"user", "remove", "bob"}, c.shards)...)
		bob.wantEnd(t, "auth", 5*time.Second)
		if err := alice.post("3", "bob", "to nobody"); err != nil {
			t.Fatal(err)
		}
		if reply := alice.reply(t, "3", 10*time.Second); !strings.HasPrefix(reply, "err;id=3:nouser:") {
			t.Errorf("what is sent to a removed user is answered %q", reply)
		}
		for _, ip := range []string{"127.0.4.2", "127.0.4.5", "127.0.4.6"} { // served here and there
			if reply := firstReply(t, ip, g.tcp, "poll;v=2;id=in;dev=b:bob:demo:0\n"); !strings.HasPrefix(reply, "err;id=in:auth:") {
				t.Errorf("a removed user's login is answered %q", reply)
			}
		}

		run(t, slices.Concat([]string{"user", "add", "bob"}, c.shards)...)
		later := startStream(t, "bob", "away", "127.0.4.4", g.tcp) // the same name, device, password and address
		alice.mustSend(t, "4", "bob", "to the second bob")
		later.waitTexts(t, "to the second bob")
		alice.mustSend(t, "5", "carol", "still here")
		bystander.waitTexts(t, "still here")
	})
}
