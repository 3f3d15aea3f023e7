package mysqltest

import (
	"testing"
	"time"
)

// patience is how long a statement of this package's own may take.
const patience = 30 * time.Second

// Server is a real database server. Kill, Restart, Suspend and Resume are for one goroutine at a time, and for servers of
// [Start] alone.
type Server struct {
	admin   login
	version string
	secrets string    // the folder with files of passwords
	own     *instance // nil if the environment names the server
	lasting bool      // other tests use it too
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.admin.addr }

// Flavor is "MySQL" or "MariaDB".
func (s *Server) Flavor() string { return flavorOf(s.version) }

// Version is what the server calls its version, such as 9.7.4-2 or 10.11.19-MariaDB-0+deb12u1-log.
func (s *Server) Version() string { return s.version }

// Log is the end of the server's error log. It is empty for a server that the environment names.
func (s *Server) Log() string {
	if s.own == nil {
		return ""
	}
	return tail(s.own.log(0), 8000)
}

// Kill kills the server with SIGKILL and returns when it is gone.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.mine(t).kill(); err != nil {
		t.Fatalf("kill the server: %v", err)
	}
}

// Terminate ends the server in order, with SIGTERM, and returns when it is gone.
func (s *Server) Terminate(t testing.TB) {
	t.Helper()
	if err := s.mine(t).terminate(); err != nil {
		t.Fatalf("end the server: %v", err)
	}
}

// Restart starts the server again, on its port and its data, and returns when it answers. One that still runs is killed
// first.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill(t)
	if _, err := s.own.restart(); err != nil {
		t.Fatal(err)
	}
}

// Suspend stops the server with SIGSTOP and returns when it has stopped. Connections to it can still be made, and stay
// open, and nothing answers.
func (s *Server) Suspend(t testing.TB) {
	t.Helper()
	if err := s.running(t).suspend(); err != nil {
		t.Fatalf("suspend the server: %v", err)
	}
}

// Resume lets a suspended server go on.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.running(t).resume(); err != nil {
		t.Fatalf("resume the server: %v", err)
	}
}

func (s *Server) running(t testing.TB) *process {
	t.Helper()
	own := s.mine(t)
	if own.process == nil {
		t.Fatal("the server has been killed; Restart it first")
	}
	return own.process
}

// mine is the instance of a server that one test has for itself.
func (s *Server) mine(t testing.TB) *instance {
	t.Helper()
	if s.own == nil || s.lasting {
		t.Fatal("other tests use this server too; take one of mysqltest.Start")
	}
	return s.own
}

// PID is the server's process while it runs, and 0 for a server that the environment names.
func (s *Server) PID() int {
	if s.own == nil || s.own.process == nil {
		return 0
	}
	return s.own.process.Pid
}
