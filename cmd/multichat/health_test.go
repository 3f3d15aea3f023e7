package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"multichat/internal/mysqltest"
	"multichat/internal/proctest"
)

// Ready, then not ready with the reason, then gone; a proxy's readiness follows its links, a server's its shards.
func TestHealthOfNodes(t *testing.T) {
	t.Parallel()
	mysql := mysqltest.Start(t)
	database, _ := mysql.Database(t)
	c := newCluster(t, ground{shard: sqliteShard, flags: []string{"--shard", "c=" + database}}, 1)
	run(t, append([]string{"shard", "init", "--shard", "c=" + database}, c.shards...)...)
	c.startServer(0)
	proxy, _ := c.startProxy(0)
	admin, server := c.proxyAdmin, c.servers[0]

	wantHealth(t, admin, 0, "ready")
	wantHealth(t, strings.Replace(admin, "127.0.0.1", "", 1), 0, "ready")
	wantHealth(t, c.admins[0], 0, "ready")
	wantChecks(t, admin, "ok      draining", "ok      a link to a live server", "ok      link to server-1", "ok")
	wantChecks(t, c.admins[0], "ok      draining", "ok      shard a", "ok      shard b", "ok      shard c", "ok")

	mysql.Kill(t)
	wantChecks(t, c.admins[0], "ok      shard b", "warning shard c: it has not answered for ", "ok")
	wantHealth(t, c.admins[0], 0, "ready")
	mysql.Restart(t)
	wantChecks(t, c.admins[0], "ok      shard c", "ok")

	server.cmd.Process.Signal(syscall.SIGSTOP)
	wantHealth(t, c.admins[0], 4, "has not answered within 2s")
	server.cmd.Process.Signal(syscall.SIGCONT)
	server.kill()
	wantHealth(t, c.admins[0], 4, "does not answer")
	proctest.Eventually(t, 20*time.Second, func() error {
		out, code := runIn(t, nil, "", "health", "--admin", admin)
		if want := "multichat: " + admin + " is not ready: there is no link to a live server\n"; code != 1 || out != want {
			return fmt.Errorf("health: exit code %d, said %q; want 1 and %q", code, out, want)
		}
		return nil
	})
	wantChecks(t, admin, "failed  a link to a live server: there is no link to a live server",
		"not ready: there is no link to a live server")
	proxy.terminate(t)
}

// What answers and is no node is not called ready.
func TestHealthOfSomethingElse(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	defer other.Close()
	wantHealth(t, strings.TrimPrefix(other.URL, "http://"), 1, "not as the --admin of a node does (HTTP status 200)")
}

func wantHealth(t *testing.T, admin string, code int, says string) {
	t.Helper()
	out, got := runIn(t, nil, "", "health", "--admin", admin)
	if got != code || !strings.Contains(out, says) || strings.Count(out, "\n") != 1 {
		t.Errorf("health: exit code %d, said %q; want %d and %q", got, out, code, says)
	}
}

// wantChecks waits until /readyz?verbose has lines that begin so, in this order, and ends with the last.
func wantChecks(t *testing.T, admin string, lines ...string) {
	t.Helper()
	proctest.Eventually(t, 20*time.Second, func() error {
		text, err := proctest.Fetch("http://" + admin + "/readyz?verbose")
		if text == "" {
			return err
		}
		rest := "\n" + text
		for _, line := range lines {
			_, after, found := strings.Cut(rest, "\n"+line)
			if !found {
				return fmt.Errorf("%q is not in order in\n%s", line, text)
			}
			rest = after
		}
		if strings.TrimSpace(rest) != "" {
			return errors.New("there is more in\n" + text)
		}
		return nil
	})
}
