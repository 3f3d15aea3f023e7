package mysqltest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What [Server.Flavor] says.
const (
	MySQL   = "MySQL"
	MariaDB = "MariaDB"
)

// program is a server program that can be started.
type program struct {
	path   string
	flavor string // MySQL or MariaDB
	root   string // the folder that the program sees as /; "/" but in a chroot
	share  string // the folder of the program's own files, as it sees it
}

// inspect asks a program what it is and where it finds its files, by the settings it prints.
func inspect(path string) (*program, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(commonArgs(), "--verbose", "--help")...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p, err := readHelp(path, cmd.Process.Pid, out)
	if ended := cmd.Wait(); ended != nil {
		err = fmt.Errorf("%s --verbose --help: %w: %s", path, ended, tail(complaints.Bytes(), 500))
	}
	return p, err
}

// readHelp reads the help of a program that runs. While nobody reads on, the program cannot end, since its help is thrice
// as long as a pipe: so it is the program itself, not a script before its exec, whose root is looked up.
func readHelp(path string, pid int, out io.Reader) (*program, error) {
	help := bufio.NewReaderSize(out, 1024)
	first, err := help.ReadString('\n')
	p := &program{path: path, flavor: flavorOf(first)}
	if err == nil {
		p.root, err = rootOf(pid)
	}
	settings, _ := io.ReadAll(help) // to the end in any case, or the program would wait for ever
	if err != nil || !strings.Contains(first, " Ver ") {
		return nil, fmt.Errorf("%s is not a MySQL or MariaDB server, or does not exec one: %w", path, err)
	}
	for line := range strings.Lines(string(settings)) {
		if name, value, _ := strings.Cut(line, " "); name == "character-sets-dir" {
			p.share = filepath.Dir(filepath.Clean(strings.TrimSpace(value)))
		}
	}
	return p, nil
}

// rootOf is the folder that a process sees as its root, as far as the system tells: there may be no /proc.
func rootOf(pid int) (string, error) {
	root, err := os.Readlink(fmt.Sprintf("/proc/%d/root", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return "/", nil
	}
	return root, err
}

func flavorOf(version string) string {
	if strings.Contains(version, MariaDB) {
		return MariaDB
	}
	return MySQL
}

// commonArgs come first in every call: no configuration file is read, and a server that root starts must be told so.
func commonArgs() []string {
	args := []string{"--no-defaults"}
	if os.Getuid() == 0 {
		args = append(args, "--user=root")
	}
	return args
}

// inside is a path of ours as the program sees it.
func (p *program) inside(path string) (string, error) {
	rel, err := filepath.Rel(p.root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fmt.Errorf("%s cannot be seen by %s, whose root folder is %s", path, p.path, p.root)
	}
	return "/" + rel, nil
}

// outside is a path of the program as we see it.
func (p *program) outside(path string) string { return filepath.Join(p.root, path) }

// tempDir is where the program's data is kept.
func (p *program) tempDir() string {
	if p.root == "/" {
		return os.TempDir()
	}
	return p.outside("/tmp")
}

// tail is the end of a text, for messages.
func tail(b []byte, n int) string {
	return strings.TrimSpace(string(b[max(0, len(b)-n):]))
}
