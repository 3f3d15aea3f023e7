package client

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

func TestADeviceKeepsItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "multichat", "device")
	first := loadDevice(t, path)
	if err := chat.CheckDeviceID(first); err != nil || len(first) < 20 {
		t.Errorf("the name is %q, %v", first, err)
	}
	if again := loadDevice(t, path); again != first {
		t.Errorf("the name was %s and is %s", first, again)
	}
	if other := loadDevice(t, filepath.Join(t.TempDir(), "device")); other == first {
		t.Error("two installations have one name")
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
	wantOnlyFile(t, path)
}

func TestOneNameIsMadeHoweverManyBegin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "multichat", "device")
	const n = 16
	names := make(chan chat.DeviceID, n)
	var running sync.WaitGroup
	for range n {
		running.Go(func() { names <- loadDevice(t, path) })
	}
	running.Wait()
	first := <-names
	for range n - 1 {
		if name := <-names; name != first {
			t.Errorf("one got %s, another %s", first, name)
		}
	}
	wantOnlyFile(t, path)
}

func TestADeviceMayBeNamedByHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(path, []byte(" my phone \r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if name := loadDevice(t, path); name != "my phone" {
		t.Errorf("the name is %q", name)
	}
}

func TestABrokenFileIsLeftAsItIs(t *testing.T) {
	for name, content := range map[string]string{
		"empty":        "",
		"only a space": " \n",
		"two lines":    "a\nb\n",
		"no name":      "a:b",
		"too long":     strings.Repeat("x", chat.MaxDeviceID+1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "device")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadDevice(path)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove the file") {
				t.Errorf("the error does not say what to do: %v", err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != content {
				t.Errorf("the file is now %q, %v", b, err)
			}
		})
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(file, "multichat", "device")
	if _, err := LoadDevice(path); err == nil || !strings.Contains(err.Error(), filepath.Dir(path)) {
		t.Errorf("got %v", err)
	}
}

func TestWhereTheNameIsKept(t *testing.T) {
	t.Run("in the user's configuration", func(t *testing.T) {
		config := t.TempDir()
		t.Setenv("XDG_CONFIG_HOME", config)
		if name := loadDevice(t, ""); name != loadDevice(t, filepath.Join(config, "multichat", "device")) {
			t.Error("it is somewhere else")
		}
	})
	t.Run("which is made in a home", func(t *testing.T) {
		home := t.TempDir()
		t.Setenv("XDG_CONFIG_HOME", "")
		t.Setenv("HOME", home)
		name := loadDevice(t, "")
		if name == wire.DefaultDevice || name != loadDevice(t, filepath.Join(home, ".config", "multichat", "device")) {
			t.Errorf("the name is %s", name)
		}
	})
	for name, home := range map[string]string{"nowhere without a home": "", "nowhere if the home is not there": "/nonexistent"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", "")
			t.Setenv("HOME", home)
			if name := loadDevice(t, ""); name != wire.DefaultDevice {
				t.Errorf("the name is %s", name)
			}
		})
	}
}

func loadDevice(t *testing.T, path string) chat.DeviceID {
	t.Helper()
	name, err := LoadDevice(path)
	if err != nil {
		t.Error(err)
	}
	return name
}

// wantOnlyFile wants nothing but this file in its folder.
func wantOnlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("in the folder are %v, %v", entries, err)
	}
}
