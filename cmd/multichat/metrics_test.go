package main_test

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"multichat/internal/proctest"
)

// What Prometheus scrapes is of its form, describes the process, and has a label neither for a user nor for an address:
// these would be endless.
func TestMetricsOfRunningNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onSQLite, 2)
	c.startServers()
	_, g := c.startProxy(0)
	alice := startStream(t, "alice", "a-device", "127.0.4.31", g.tcp)
	bob := startStream(t, "bob", "b-device", "127.0.4.32", g.tcp)
	old := startOldClient(t, "carol", "127.0.4.33", g, older)
	alice.mustSend(t, "1", "%", "to all")
	old.mustSend(t, "bob", "to bob")
	old.mustSend(t, "carol", "to herself")
	bob.waitTexts(t, "to all", "to bob")
	old.waitFor(t, 2, 10*time.Second)
	if reply := firstReply(t, "127.0.4.34", g.tcp, "poll;v=2;id=in:alice:wrong:0\n"); !strings.Contains(reply, ":auth:") {
		t.Fatalf("a wrong password is answered %q", reply)
	}
	bob.leave(t)
	proctest.Eventually(t, 10*time.Second, func() error {
		if !strings.Contains(scrape(t, c.proxyAdmin), "\nmultichat_stream_ends_total{") {
			return errors.New("the proxy has not counted that bob's stream has ended")
		}
		return nil
	})

	common := []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "multichat_build_info{",
		"multichat_members{", "multichat_polls_total", "multichat_streams"}
	proxy := scrape(t, c.proxyAdmin)
	wantMetrics(t, "the proxy", proxy, append(common, "multichat_ring_digest"))
	if strings.Contains(proxy, "multichat_shard_up") {
		t.Error("the proxy speaks of shards")
	}
	for _, admin := range c.admins {
		wantMetrics(t, "a server", scrape(t, admin),
			append(common, `multichat_shard_up{shard="a"} 1`, `multichat_shard_up{shard="b"} 1`, "multichat_server_streams"))
	}
}

func scrape(t *testing.T, admin string) string {
	t.Helper()
	text, err := proctest.Fetch("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var label = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)

// wantMetrics checks the form of what a node publishes, and wants lines that begin so.
func wantMetrics(t *testing.T, node, text string, want []string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("%s: %v", node, err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s: %s", node, p.Metric, p.Text)
	}
	for _, begin := range want {
		if !strings.Contains(text, "\n"+begin) {
			t.Errorf("%s has no %s", node, begin)
		}
	}
	for line := range strings.Lines(text) {
		for _, l := range label.FindAllStringSubmatch(line, -1) {
			if namesSomebody(l[2]) {
				t.Errorf("%s: label %s of %s", node, l[1], line)
			}
		}
	}
}

func namesSomebody(value string) bool {
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,;/=%", r) }) {
		_, notAddr := netip.ParseAddr(part)
		_, notPort := netip.ParseAddrPort(part)
		if notAddr == nil || notPort == nil {
			return true
		}
	}
	return slices.ContainsFunc([]string{"alice", "bob", "carol", "a-device", "b-device", "127.0."}, func(name string) bool {
		return strings.Contains(strings.ToLower(value), name)
	})
}
