package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/proctest"
)

// Mistakes that end no process, but would have people look for the cause for long: the log says what it is, and what to do.

func (p *process) waitSaid(t *testing.T, words ...string) {
	t.Helper()
	proctest.Eventually(t, 20*time.Second, func() error {
		if !p.said(words...) {
			return fmt.Errorf("%s has not said %q", p.name, words)
		}
		return nil
	})
}

func TestAnotherClustersKeyIsTold(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onSQLite, 1)
	c.startServer(0)
	stranger := startProcess(t, "stranger", slices.Concat([]string{"proxy", "--name", "stranger", "--cluster-key-file", newClusterKey(t),
		"--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--gossip", loopback(freePort(t, 0))}, c.seeds)...)
	for _, p := range []*process{stranger, c.servers[0]} {
		p.waitSaid(t, "a node has another cluster key", "give all nodes the same one")
	}
	if c.servers[0].said("member joined") {
		t.Error("it was let in all the same")
	}
}

func TestAClockThatIsOffIsTold(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onMySQL, 1)
	early := startProgram(t, buildWithMistakes(t), "server-1", []string{"MULTICHAT_FAULTS=clock=+1h"}, c.args[0]...)
	early.waitSaid(t, "the clocks of this machine and of the shard's database are apart", "NTP", `"shard":"a"`, `-1h0m`)
	admin := loopback(freePort(t, 0))
	right := startProcess(t, "server-2", withName(c.args[0], "server-2", loopback(freePort(t, 0)), admin)...)
	waitReady(t, admin) // it looks at the clocks as soon as it serves
	right.waitSaid(t, "member joined", "server-1")
	time.Sleep(2 * time.Second) // for what must not be said
	if right.said("clocks") {
		t.Error("a server whose clock is right complains")
	}
}

// withName are a server's arguments for another one.
func withName(args []string, name, gossip, admin string) []string {
	args = slices.Clone(args)
	for flag, value := range map[string]string{"--name": name, "--gossip": gossip, "--admin": admin} {
		args[slices.Index(args, flag)+1] = value
	}
	return args
}

// What is not stored since a disk is full is never said to be, the log says why, and when there is room again all goes on.
func TestAFullDiskIsTold(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small disk cannot be mounted here, which takes root: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	shards := 0
	c := newCluster(t, ground{shard: func(testing.TB) string {
		shards++
		return fmt.Sprintf("sqlite:%s/%d.db", disk, shards)
	}}, 1)
	c.startServer(0)
	_, g := c.startProxy(0)
	send := func(text string) (string, int) {
		return runAs(t, "demo", "", "send", "--proxy", proxyFlag(t, g), "--user", "alice", "--to", "bob", text)
	}
	if out, code := send("before"); code != 0 {
		t.Fatalf("before the disk is full: exit code %d, %s", code, out)
	}
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	large := strings.Repeat("x", chat.DefaultMaxText) // more than the pages that are there already have room for
	var out string
	proctest.Eventually(t, 30*time.Second, func() error {
		reply := firstReply(t, "127.0.0.1", g.tcp, fmt.Sprintf("wrmsg;id=%d;len=%d:alice:demo:bob:%s\n", time.Now().UnixNano(), len(large), large))
		if out = reply; strings.HasPrefix(reply, "ok;") {
			return errors.New("it is still stored")
		}
		return nil
	})
	// SQLite may have written the commit before it found the disk full, so nobody knows.
	if !strings.Contains(out, ":unavail:") && !strings.Contains(out, ":unknown:") {
		t.Errorf("on a full disk a message is answered %q", out)
	}
	c.servers[0].waitSaid(t, "the disk is full; make room")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if out, code := send("after"); code != 0 {
		t.Errorf("when there is room again: exit code %d, %s", code, out)
	}
}

// fill fills a disk with a file.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk ended with %v", err)
	}
}
