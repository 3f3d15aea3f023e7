//go:build linux

package peers

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"multichat/internal/proctest"
)

// startProcess starts a program, with more of an environment, and ends it with the test.
func startProcess(t *testing.T, env []string, program string, args ...string) *exec.Cmd {
	t.Helper()
	var output proctest.Output
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = 5 * time.Second // a child may hold the output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		children := childrenOf(cmd.Process.Pid)
		cmd.Process.Kill()
		for _, pid := range children {
			if p, err := os.FindProcess(pid); err == nil {
				p.Kill()
			}
		}
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), &output)
		}
	})
	return cmd
}

// ticksPerSecond is USER_HZ, which Linux has settled for all programs.
const ticksPerSecond = 100

// cpuSeconds is what processes and their children have spent so far, user and system.
func cpuSeconds(t *testing.T, pids ...int) (seconds float64) {
	t.Helper()
	for _, pid := range pids {
		for _, p := range append(childrenOf(pid), pid) {
			fields, err := statOf(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{11, 12} { // utime and stime
				ticks, err := strconv.ParseFloat(fields[i], 64)
				if err != nil {
					t.Fatal(err)
				}
				seconds += ticks / ticksPerSecond
			}
		}
	}
	return seconds
}

// statOf is /proc/PID/stat behind the program's name, which may hold anything: the first field is the state.
func statOf(pid int) ([]string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return nil, fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields))
	}
	return fields, nil
}

// childrenOf are the processes that a process has started itself and that are still there, such as nginx's workers.
func childrenOf(pid int) (children []int) {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil // it has ended
	}
	for _, field := range strings.Fields(string(list)) {
		if child, err := strconv.Atoi(field); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// freeAddress is one of 127.0.0.1 that nobody listens on now, for UDP nor TCP.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // not before the next one is taken
		if p, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			p.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free for both UDP and TCP on 127.0.0.1: end what uses them")
	return ""
}

// metrics reads all samples of a node.
func metrics(t *testing.T, admin string) map[string]float64 {
	t.Helper()
	text, err := proctest.Fetch("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	samples := make(map[string]float64)
	for line := range strings.Lines(text) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64); err == nil {
				samples[line[:i]] = v
			}
		}
	}
	return samples
}

// peer is a program that is not ours.
type peer struct {
	name     string
	program  string // where Debian puts it, unless it is on the PATH
	packages string
}

var (
	nginx   = peer{"nginx", "/usr/sbin/nginx", "nginx-core libnginx-mod-stream"}
	haproxy = peer{"haproxy", "/usr/sbin/haproxy", "haproxy"}
)

// find is where the program is.
func (p peer) find() (path string, err error) {
	if path, err = exec.LookPath(p.name); err == nil {
		return path, nil
	}
	if path, err = exec.LookPath(p.program); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is not installed, so it was not measured: apt-get install --no-install-recommends %s", p.name, p.packages)
}

// errPeer tells a peer that is there and does not work.
var errPeer = errors.New("the peer does not work")

// start starts a peer and returns once its TCP or UDP port is taken.
func (p peer) start(t *testing.T, config, listens string, args ...string) (pid int, err error) {
	t.Helper()
	path, err := p.find()
	if err != nil {
		return 0, err
	}
	dir := t.TempDir()
	file := filepath.Join(dir, p.name+".conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, arg := range args {
		args[i] = strings.NewReplacer("DIR", dir, "FILE", file).Replace(arg)
	}
	cmd := startProcess(t, nil, path, args...)
	proctest.Eventually(t, 10*time.Second, func() error {
		if err := proctest.Listenable(listens); err == nil {
			return fmt.Errorf("%w: %s does not listen on %s", errPeer, p.name, listens)
		}
		return nil
	})
	return cmd.Process.Pid, nil
}

// needFiles skips a row if this process, or one that it starts, may not have so many files open. Go has raised the limit as far as it may.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n {
		t.Skipf("this row needs %d open files, and the limit is %d: raise it with ulimit -Hn", n, limit.Max)
	}
}
