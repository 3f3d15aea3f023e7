package main_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"multichat/internal/mysqltest"
)

// binary is multichat, built as a user would, and with the race detector when the tests have it.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "4") // most of these tests wait for other processes, most of the time
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "multichat-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	defer mysqltest.Stop()
	binary = filepath.Join(dir, "multichat")
	os.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config")) // where receivers keep their device's name
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build multichat:", err)
		return 1
	}
	return m.Run()
}
