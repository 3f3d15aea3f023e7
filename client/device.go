package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// LoadDevice is this installation's own name for a stream's Device: a random one, which the first call keeps in the file
// at path and later ones read there. So each installation is a device of its own, and the same after a restart. An empty
// path is multichat/device in the user's configuration directory; where there is no such directory, since the user has no
// home, the device is "default".
//
// A file that holds no name is an error and left as it is: a new name makes a new device, which begins where the user's
// others are.
func LoadDevice(path string) (chat.DeviceID, error) {
	if path == "" {
		var found bool
		if path, found = devicePath(); !found {
			return wire.DefaultDevice, nil
		}
	}
	id, err := readDevice(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if err := makeDevice(path); err != nil {
		return "", fmt.Errorf("keeping a name for this device: %w; make %s a directory that can be written to, "+
			"or give a name", err, filepath.Dir(path))
	}
	return readDevice(path)
}

// devicePath is where the name is kept unless somebody says otherwise. A home that is named but not there, as accounts
// of services have it, is none.
func devicePath() (path string, found bool) {
	config, err := os.UserConfigDir()
	if err != nil {
		return "", false
	}
	if _, err := os.Stat(config); err == nil {
		return filepath.Join(config, "multichat", "device"), true
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", false
	}
	_, err = os.Stat(home)
	return filepath.Join(config, "multichat", "device"), err == nil
}

func readDevice(path string) (chat.DeviceID, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the name of this device: %w", err)
	}
	id := chat.DeviceID(strings.TrimSpace(string(b)))
	if err := chat.CheckDeviceID(id); err != nil {
		return "", fmt.Errorf("%s holds no name of a device: %w; remove the file to get a new name, or give one", path, err)
	}
	return id, nil
}

// makeDevice puts a new name where there is none, whole or not at all. Where another process was faster, its name stays.
func makeDevice(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".device-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(strings.ToLower(rand.Text()) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	// Unlike a rename, a link does not take the place of what is there.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
