package mysqltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startLimit is how long a server may take to answer, after recovery too, on a busy machine.
const startLimit = 90 * time.Second

var errPortTaken = errors.New("another program has taken the port")

// instance is a server that this test binary has started.
type instance struct {
	program *program
	folder  string // holds data and the log
	args    []string
	admin   login
	process *process // nil while it is killed
}

// start starts the server on a free port of 127.0.0.1 and waits until it answers.
func (i *instance) start(args []string) (version string, err error) {
	for range 5 {
		port, err := freePort()
		if err != nil {
			return "", err
		}
		i.admin.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if i.args, err = i.arguments(port, args); err != nil {
			return "", err
		}
		version, err = i.restart()
		if !errors.Is(err, errPortTaken) {
			return version, err
		}
	}
	return "", errPortTaken
}

// restart starts the server as it was started before.
func (i *instance) restart() (version string, err error) {
	logged := i.logSize()
	if i.process, err = startProcess(i.program.path, i.args, i.logFile()); err != nil {
		return "", err
	}
	version, err = i.await()
	if err == nil {
		err = i.checkPid()
	}
	if err == nil {
		return version, nil
	}
	log := i.log(logged)
	if bytes.Contains(log, []byte("Address already in use")) {
		err = errPortTaken
	}
	err = fmt.Errorf("%s did not start: %w; its log ends: %s", i.program.path, err, tail(log, 2000))
	return "", errors.Join(err, i.kill())
}

// await waits until the server answers.
func (i *instance) await() (version string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		version, err := i.admin.version(ctx)
		switch {
		case err == nil:
			return version, nil
		case i.process.endsWithin(20 * time.Millisecond):
			return "", errors.New("it has ended")
		case ctx.Err() != nil:
			return "", fmt.Errorf("no answer in %v: %w", startLimit, err)
		}
	}
}

// checkPid sees to it that signals reach the server, not a script or a sudo above it.
func (i *instance) checkPid() error {
	b, err := os.ReadFile(i.file("data", "server.pid"))
	if err != nil {
		return err
	}
	pid := strings.TrimSpace(string(b))
	if pid == strconv.Itoa(i.process.Pid) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ended := i.admin.exec(ctx, statement{text: "SHUTDOWN"}) // by its pid it may be somebody else's: there are namespaces
	return errors.Join(fmt.Errorf("the server is process %s below process %d, and must be that process itself: begin the "+
		"script's last line with exec", pid, i.process.Pid), ended)
}

// arguments are those of every server, and then the test's. Names of files are relative to the data folder, which makes them
// right in a chroot, and keeps the socket's short.
func (i *instance) arguments(port int, more []string) ([]string, error) {
	data, err := i.program.inside(i.file("data"))
	if err != nil {
		return nil, err
	}
	args := append(commonArgs(),
		"--datadir="+data, "--tmpdir="+filepath.Dir(data), "--pid-file=server.pid", "--socket=server.sock",
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(port), "--skip-name-resolve", "--max-connections=500",
		"--server-id=1", "--log-bin=binlog", "--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size=64M", "--max-binlog-size=64M", "--performance-schema=OFF")
	if i.program.flavor == MariaDB {
		args = append(args, "--innodb-log-file-size=32M")
	} else {
		args = append(args, "--innodb-redo-log-capacity=32M", "--mysqlx=OFF", "--secure-file-priv=NULL")
	}
	return append(args, more...), nil
}

func (i *instance) kill() error {
	if i.process == nil {
		return nil
	}
	err := i.process.kill()
	i.process = nil
	return err
}

// terminate has the server end in order.
func (i *instance) terminate() error {
	if i.process == nil {
		return nil
	}
	if err := i.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if !i.process.endsWithin(startLimit) {
		return fmt.Errorf("it has not ended %v after SIGTERM", startLimit)
	}
	return i.kill() // takes its exit
}

// remove kills the server and removes its folder.
func (i *instance) remove() error {
	return errors.Join(i.kill(), os.RemoveAll(i.folder))
}

func (i *instance) file(names ...string) string {
	return filepath.Join(append([]string{i.folder}, names...)...)
}

func (i *instance) logFile() string { return i.file("log") }

func (i *instance) logSize() int64 {
	info, err := os.Stat(i.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// log is what the server has written since its log was so long.
func (i *instance) log(from int64) []byte {
	b, err := os.ReadFile(i.logFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []byte(err.Error())
	}
	return b[min(from, int64(len(b))):]
}

// freePort finds a port below those that the system gives to outgoing connections. Else one of them could get it while
// the server is down between a kill and a restart.
func freePort() (int, error) {
	const first, ports, tries = 20000, 10000, 100
	var err error
	for range tries {
		port := first + rand.N(ports)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return 0, err
}
