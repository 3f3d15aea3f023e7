package main_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"multichat/internal/mysqltest"
	"multichat/internal/proctest"
)

func TestAServerMayStartBeforeItsDatabase(t *testing.T) {
	t.Parallel()
	mysql := mysqltest.Start(t)
	url, _ := mysql.Database(t)
	run(t, "shard", "init", "--shard", "a="+url)
	mysql.Kill(t)

	other, admin := startLonely(t, "--shard", "a="+url)
	wantWaiting(t, other, admin)
	other.terminate(t) // though it still waits

	p, admin := startLonely(t, "--shard", "a="+url)
	wantWaiting(t, p, admin)
	mysql.Restart(t)
	waitReady(t, admin)
	if n := strings.Count(p.output.String(), "waiting for the shards"); n == 0 {
		t.Errorf("it did not log that it waits:\n%s", p.output)
	}
	p.terminate(t)
}

// startLonely starts a server that is the first of a cluster, and returns the address of its admin listener.
func startLonely(t *testing.T, more ...string) (p *process, admin string) {
	t.Helper()
	admin = loopback(freePort(t, 0))
	args := []string{"server", "--gossip", "127.0.0.1:0", "--link", "127.0.0.1:0", "--cluster-key-file", newClusterKey(t),
		"--admin", admin}
	return startProcess(t, "server", append(args, more...)...), admin
}

// wantWaiting returns once a server says that it waits for shard a.
func wantWaiting(t *testing.T, p *process, admin string) {
	t.Helper()
	proctest.Eventually(t, 20*time.Second, func() error {
		_, err := proctest.Fetch("http://" + admin + "/readyz")
		switch {
		case err == nil:
			return errors.New("it is ready")
		case strings.Contains(err.Error(), "503") && strings.Contains(err.Error(), "not ready: shard a: "):
			return nil
		}
		select {
		case <-p.exited:
			t.Fatalf("it has ended:\n%s", p.output)
		default:
		}
		return err
	})
	if text, err := proctest.Fetch("http://" + admin + "/livez"); err != nil || text != "ok\n" {
		t.Errorf("livez: %q, %v", text, err)
	}
}
