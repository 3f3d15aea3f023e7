package containers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// disk is a small disk of the host's memory, on which a database is.
type disk struct{ dir string }

// mysqlUser is the one of MySQL's images, official and ours.
const mysqlUser = 999

// mount makes the disk.
func (d disk) mount(megabytes int) error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	if err := d.unmount(); err != nil { // it is of a run that was cut off
		return err
	}
	options := fmt.Sprintf("size=%dm,uid=%d,gid=%[2]d,mode=0755", megabytes, mysqlUser)
	_, err := asRoot("mount", "-t", "tmpfs", "-o", options, "multichat-chaos", d.dir)
	return err
}

// unmount takes the disk away, if it is there. So does deploy/sweep with a volume that is on it.
func (d disk) unmount() error {
	if _, err := command(nil, "mountpoint", "-q", d.dir); err != nil {
		return nil
	}
	_, err := asRoot("umount", d.dir)
	return err
}

func (d disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves no room on the disk. It asks the disk itself whether that is so: what the database keeps open may free some.
func (d disk) fill() error {
	if _, err := asRoot("dd", "if=/dev/zero", "of="+d.ballast(), "bs=1M", "status=none"); err == nil {
		return errors.New("dd has filled the disk without an error")
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		return err
	}
	if free := s.Bavail * uint64(s.Bsize); free > 1<<20 {
		return fmt.Errorf("%s is not full: %d bytes are free", d.dir, free)
	}
	return nil
}

func (d disk) empty() error {
	_, err := asRoot("rm", "-f", d.ballast())
	return err
}
