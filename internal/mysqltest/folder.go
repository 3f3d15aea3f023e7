package mysqltest

import (
	"os"
	"path/filepath"
	"syscall"
)

// folder is the folder of one test binary. Its lock ends with the binary, so that the next one can tell that nobody needs
// the folder any more.
type folder struct {
	path string
	lock *os.File
}

const folderPattern = "multichat-mysql-*"

// newFolder makes a folder below dir, and removes what killed test binaries have left there.
func newFolder(dir string) (*folder, error) {
	sweep(dir)
	path, err := os.MkdirTemp(dir, folderPattern)
	if err != nil {
		return nil, err
	}
	// Under its final name only when it is locked, or another binary could take it for left.
	lock, err := os.Create(filepath.Join(path, "lock.new"))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	return &folder{path: path, lock: lock}, os.Rename(lock.Name(), filepath.Join(path, "lock"))
}

func (f *folder) remove() error {
	defer f.lock.Close()
	return os.RemoveAll(f.path)
}

// sweep removes the folders that nobody holds. One that cannot be removed, perhaps another user's, is let be.
func sweep(dir string) {
	locks, _ := filepath.Glob(filepath.Join(dir, folderPattern, "lock"))
	for _, name := range locks {
		lock, err := os.Open(name)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(name))
		}
		lock.Close()
	}
}
