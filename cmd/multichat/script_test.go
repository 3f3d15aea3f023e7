package main_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scripts in testdata/script. In them, $BUSY is an address whose ports, TCP and UDP, are in use.
func TestScripts(t *testing.T) {
	t.Parallel()
	busy := occupy(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("BUSY", busy)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits is the command `exits CODE PROGRAM ARGS…`: the program must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%v ended with exit code %d; want %d", args[1:], got, want)
	}
}

func occupy(t *testing.T) string {
	t.Helper()
	addr := loopback(freePort(t, 0))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	// Scripts run in parallel subtests, which end after this function has returned.
	t.Cleanup(func() { l.Close(); p.Close() })
	return addr
}
