package mysqltest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestServerIsFitForAShard(t *testing.T) {
	s := Shared(t)
	if s.own == nil {
		t.Log("the environment names the server, and its settings are its owner's")
		return
	}
	db := s.AdminDB(t)
	for setting, want := range map[string]string{
		"log_bin": "1", "sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1", "bind_address": "127.0.0.1",
	} {
		if got := ask[string](t, db, "SELECT @@GLOBAL."+setting); got != want {
			t.Errorf("%s = %s, want %s", setting, got, want)
		}
	}
	if s.Flavor() != s.own.program.flavor || !strings.Contains(s.Log(), "ready for connections") {
		t.Errorf("a %s %s, whose log ends:\n%s", s.Flavor(), s.Version(), s.Log())
	}
	if Shared(t) != s {
		t.Error("a second call gave another server")
	}
}

func TestKilledServerKeepsWhatItCommittedAndIsBackAtItsPort(t *testing.T) {
	s := Start(t)
	_, db := s.Database(t)
	addr := s.Addr()
	execute(t, db, "CREATE TABLE rows_kept (n INT PRIMARY KEY)")
	for round := range 2 {
		execute(t, db, "INSERT INTO rows_kept VALUES (?)", round)
		s.Kill(t)
		if err := db.PingContext(t.Context()); err == nil {
			t.Error("a killed server answered")
		}
		s.Restart(t)
	}
	s.Restart(t) // of a server that runs
	if n := ask[int](t, db, "SELECT COUNT(*) FROM rows_kept"); n != 2 || s.Addr() != addr {
		t.Errorf("%d rows at %s, want 2 at %s", n, s.Addr(), addr)
	}
}

func TestSuspendedServerAnswersWhenItIsResumed(t *testing.T) {
	s := Start(t)
	_, db := s.Database(t)
	execute(t, db, "CREATE TABLE rows_kept (n INT PRIMARY KEY)")
	s.Suspend(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := db.ExecContext(ctx, "INSERT INTO rows_kept VALUES (1)"); err == nil {
		t.Error("a suspended server answered")
	}
	s.Resume(t)
	execute(t, db, "INSERT INTO rows_kept VALUES (2)")
	s.Suspend(t)
	s.Restart(t)
	execute(t, db, "INSERT INTO rows_kept VALUES (3)")
	s.Suspend(t) // and so it is left
}

func TestFurtherArgumentsCount(t *testing.T) {
	s := Start(t, "--skip-log-bin", "--sync-binlog=0", "--max-allowed-packet=2M", "--read-only")
	db := s.AdminDB(t)
	if log, sync := ask[int](t, db, "SELECT @@log_bin"), ask[int](t, db, "SELECT @@sync_binlog"); log != 0 || sync != 0 {
		t.Errorf("log_bin = %d, sync_binlog = %d", log, sync)
	}
	if n := ask[int](t, db, "SELECT @@max_allowed_packet"); n != 2<<20 {
		t.Errorf("max_allowed_packet = %d", n)
	}
	_, db = s.Database(t)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INT)"); err == nil {
		t.Error("an ordinary account writes to a read-only server")
	}
}

func TestServerWithItsDataInAGivenFolder(t *testing.T) {
	folder := Folder(t)
	s := StartIn(t, folder)
	if files, err := filepath.Glob(filepath.Join(folder, "*", "data", "ibdata1")); err != nil || len(files) != 1 {
		t.Errorf("its files are %v, %v", files, err)
	}
	s.Database(t)
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	if v := judge(t, func(t testing.TB) { Start(t, "--no-such-option") }); !strings.Contains(v.failed, "no-such-option") {
		t.Errorf("failed with %q", v.failed)
	}
}

func TestSharedServerCannotBeKilled(t *testing.T) {
	s := Shared(t)
	for name, f := range map[string]func(testing.TB){
		"Kill": s.Kill, "Restart": s.Restart, "Suspend": s.Suspend, "Resume": s.Resume,
	} {
		if v := judge(t, f); !strings.Contains(v.failed, "mysqltest.Start") {
			t.Errorf("%s: failed with %q", name, v.failed)
		}
	}
	s.Database(t)
}

func TestServersAndTheirFoldersEndWithAKilledTestBinary(t *testing.T) {
	Folder(t) // skips where no server can be started
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addr, folder string
	_, scanned := fmt.Fscanln(bufio.NewReader(stdout), &addr, &folder)
	conn, dialed := net.Dial("tcp", addr)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	if scanned != nil || dialed != nil {
		t.Fatal(scanned, dialed)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
		t.Errorf("the server outlives its test binary: %v", err)
	}
	sweep(filepath.Dir(folder))
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
	if _, err := os.Stat(here.folder.path); err != nil {
		t.Errorf("a folder in use is gone: %v", err)
	}
}
