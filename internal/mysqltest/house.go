package mysqltest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// house is what the servers of one test binary have in common.
type house struct {
	found    bool // whether the next two are known
	source   source
	err      error
	folder   *folder
	template string // an initialised data folder
	admin    login  // of all servers that are started here; its address is each server's own
	shared   *Server
	servers  int // started so far
}

// here is this test binary's.
var here struct {
	sync.Mutex // starting a server takes the machine's whole strength anyway
	house
}

// Shared is the server that all tests of a binary share, started by the first that asks. [Stop] stops it.
func Shared(t testing.TB) *Server {
	t.Helper()
	here.Lock()
	defer here.Unlock()
	s, err := here.sharedServer()
	settle(t, err)
	return s
}

// Stop ends the shared server and removes everything that this package has made. A package's TestMain calls it at the
// end.
func Stop() {
	here.Lock()
	defer here.Unlock()
	var err error
	if here.shared != nil && here.shared.own != nil {
		err = here.shared.own.remove()
	}
	if here.folder != nil {
		err = errors.Join(err, here.folder.remove())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mysqltest:", err)
	}
	here.house = house{}
}

// Start starts a server of the test's own. Further arguments come after those that all servers have, and so count. At the
// test's end the server is killed and its data removed, and if the test has failed, the end of its log is shown.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return startIn(t, "", args)
}

// StartIn is [Start] with the data in a folder that the test gives, a small file system perhaps. The server must be able to
// see it, even from a chroot: mount on what [Folder] gives.
func StartIn(t testing.TB, folder string, args ...string) *Server {
	t.Helper()
	return startIn(t, folder, args)
}

// Folder makes a folder that the server program can see, and removes it at the test's end.
func Folder(t testing.TB) string {
	t.Helper()
	here.Lock()
	defer here.Unlock()
	path, err := here.newFolder("for-test-")
	settle(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(path); err != nil {
			t.Error(err)
		}
	})
	return path
}

func startIn(t testing.TB, folder string, args []string) *Server {
	t.Helper()
	here.Lock()
	defer here.Unlock()
	s, err := here.newServer(folder, args)
	settle(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s at %s ends:\n%s", s.Flavor(), s.Addr(), s.Log())
		}
		if err := s.own.remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// settle ends a test that cannot have its server.
func settle(t testing.TB, err error) {
	t.Helper()
	absent := errors.Is(err, errNoDatabase) || errors.Is(err, errNoProgram)
	switch {
	case err == nil:
	case absent && os.Getenv("MULTICHAT_REQUIRE_MYSQL") != "1":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

func (h *house) sharedServer() (*Server, error) {
	if h.shared != nil {
		return h.shared, nil
	}
	if err := h.find(); err != nil {
		return nil, err
	}
	var err error
	if h.source.running != nil {
		h.shared, err = h.runningServer(*h.source.running)
	} else {
		h.shared, err = h.newServer("", nil)
	}
	if err != nil {
		h.err = err // the next test need not wait for the same
		return nil, err
	}
	h.shared.lasting = true
	return h.shared, nil
}

func (h *house) find() error {
	if !h.found {
		h.found = true
		h.source, h.err = findSource(os.Getenv, programFolders())
	}
	return h.err
}

// runningServer is one that the environment names.
func (h *house) runningServer(admin login) (*Server, error) {
	secrets, err := h.newFolder("secrets-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	version, err := admin.version(ctx)
	if err != nil {
		return nil, fmt.Errorf("the server that MULTICHAT_TEST_MYSQL names does not answer: %w", err)
	}
	return &Server{admin: admin, version: version, secrets: secrets}, nil
}

// newServer starts a server with its data below dir, or where the house is.
func (h *house) newServer(dir string, args []string) (*Server, error) {
	if err := h.prepare(); err != nil {
		return nil, err
	}
	secrets, err := h.newFolder("secrets-")
	if err != nil {
		return nil, err
	}
	h.servers++
	if dir == "" {
		dir = h.folder.path
	}
	own := &instance{program: h.source.program, admin: h.admin, folder: filepath.Join(dir, "server-"+strconv.Itoa(h.servers))}
	if err := os.CopyFS(own.file("data"), os.DirFS(h.template)); err != nil {
		return nil, errors.Join(fmt.Errorf("a data folder: %w", err), own.remove())
	}
	version, err := own.start(args)
	if err != nil {
		return nil, errors.Join(err, own.remove())
	}
	return &Server{own: own, admin: own.admin, version: version, secrets: secrets}, nil
}

// prepare sees to it that servers can be started.
func (h *house) prepare() error {
	if err := h.find(); err != nil {
		return err
	}
	if h.source.program == nil {
		return errNoProgram
	}
	if h.template != "" {
		return nil
	}
	path, err := h.newFolder("template-")
	if err != nil {
		return err
	}
	h.admin = login{user: "admin", password: rand.Text()}
	data := filepath.Join(path, "data")
	if err := h.source.program.initialise(data, h.admin); err != nil {
		h.err = err // the next test need not wait for the same
		return err
	}
	h.template = data
	return nil
}

// newFolder makes a folder within the test binary's, which the first call makes.
func (h *house) newFolder(name string) (string, error) {
	if err := h.find(); err != nil {
		return "", err
	}
	if h.folder == nil {
		dir := os.TempDir()
		if h.source.program != nil {
			dir = h.source.program.tempDir()
		}
		var err error
		if h.folder, err = newFolder(dir); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(h.folder.path, name)
}
