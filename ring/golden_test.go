package ring

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

	"multichat/internal/chat"
)

var update = flag.Bool("update", false, "write testdata/placement.golden anew instead of comparing with it")

const goldenFile = "testdata/placement.golden"

// Processes of different releases must agree, and mail must be found where an older one put it. So what the golden file
// holds is for good. A cluster breaks in two at a change of the servers' tables, and loses sight of its mail at one of
// the mailboxes' partitions; whoever still means it runs
//
//	go test ./ring -run TestGolden -update
//
// and reads the difference.
func TestGolden(t *testing.T) {
	var got bytes.Buffer
	for _, servers := range [][]string{
		numbered(2), numbered(3), numbered(5), {"server-1", "server-11", "server-111"}, {"a:1", "ü", "z"}, numbered(64),
	} {
		r := mustNew(t, servers...)
		fmt.Fprintf(&got, "servers %q digest %016x\n", r.Members(), r.Digest())
		writeTable(&got, r.Members(), table(r))
	}
	for _, shards := range [][]string{{"s1", "s2"}, {"s1", "s2", "s3"}, {"s1", "s2", "s3", "s4", "s5"}} {
		fmt.Fprintf(&got, "shards %q\n", shards)
		writeTable(&got, shards, mustPropose(t, shards))
	}
	for _, seed := range []uint64{0, 1, 0xfedcba9876543210} {
		for _, addr := range []string{
			"127.0.0.1", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "fe80::1%eth0", "::1",
		} {
			fmt.Fprintf(&got, "client %s seed %x key %016x\n", addr, seed, uint64(ClientKey(netip.MustParseAddr(addr), seed)))
		}
		for _, m := range []chat.Mailbox{chat.Everyone, "alice", "bob", "carol", "jürgen"} {
			fmt.Fprintf(&got, "mailbox %s seed %x partition %d\n", m, seed, Partition(m, seed, MailboxPartitions))
		}
	}

	if *update {
		if err := os.WriteFile(goldenFile, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := bytes.Split(got.Bytes(), []byte("\n")), bytes.Split(want, []byte("\n"))
	for i, line := range wantLines {
		if i >= len(gotLines) || !bytes.Equal(gotLines[i], line) {
			t.Fatalf("%s:%d: placement has changed\nwas %s\n is %s", goldenFile, i+1, line, gotLines[min(i, len(gotLines)-1)])
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Fatalf("%s has %d lines, and there are %d", goldenFile, len(wantLines), len(gotLines))
	}
}

// writeTable writes one letter for each partition, a for the first of names.
func writeTable(b *bytes.Buffer, names, owners []string) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-"
	for line := range slices.Chunk(owners, 100) {
		b.WriteByte('\t')
		for _, owner := range line {
			b.WriteByte(letters[slices.Index(names, owner)])
		}
		b.WriteByte('\n')
	}
}
