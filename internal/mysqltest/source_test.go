package mysqltest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeProgram writes a script that says of itself what a server's help says, as long as that is.
func writeProgram(t *testing.T, folder, name, help string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' '%s'\nhead -c 200000 /dev/zero\n", help)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhichProgramIsTaken(t *testing.T) {
	const (
		mysql9 = "mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))"
		maria  = "mysqld  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)"
	)
	first, second := t.TempDir(), t.TempDir()
	renamed := writeProgram(t, first, "mysqld", maria)
	writeProgram(t, first, "mariadbd", maria)
	genuine := writeProgram(t, second, "mysqld", mysql9)
	other := writeProgram(t, first, "other", "something else")

	// found is a source in short.
	type found struct{ program, flavor, running string }
	for name, c := range map[string]struct {
		url, program string // in the environment
		folders      []string
		want         found
	}{
		"MySQL before MariaDB of the same name": {
			folders: []string{first, second}, want: found{program: genuine, flavor: MySQL}},
		"MariaDB where there is no MySQL": {
			folders: []string{t.TempDir(), "relative", first}, want: found{program: renamed, flavor: MariaDB}},
		"what the environment names": {
			program: renamed, folders: []string{second}, want: found{program: renamed, flavor: MariaDB}},
		"a running server alone": {
			url: "mysql://me:secret@db", folders: []string{second}, want: found{running: "db:3306"}},
		"a running server, and a program for tests that need their own": {
			url: "mysql://me@db:3307", program: genuine, want: found{program: genuine, flavor: MySQL, running: "db:3307"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := findSource(environment(c.url, c.program), c.folders)
			if err != nil {
				t.Fatal(err)
			}
			var got found
			if s.program != nil {
				got.program, got.flavor = s.program.path, s.program.flavor
			}
			if s.running != nil {
				got.running = s.running.addr
			}
			if got != c.want {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
		})
	}

	t.Run("none is found", func(t *testing.T) {
		if _, err := findSource(environment("", ""), []string{t.TempDir()}); !errors.Is(err, errNoDatabase) {
			t.Error(err)
		}
	})
	for name, path := range map[string]string{
		"no server": other, "no such file": filepath.Join(first, "missing"), "a relative path": "mysqld",
	} {
		t.Run("the environment names "+name, func(t *testing.T) {
			_, err := findSource(environment("", path), []string{second})
			if err == nil || errors.Is(err, errNoDatabase) || !strings.Contains(err.Error(), "MULTICHAT_TEST_MYSQLD") {
				t.Error(err)
			}
		})
	}
}

func environment(url, program string) func(string) string {
	set := map[string]string{"MULTICHAT_TEST_MYSQL": url, "MULTICHAT_TEST_MYSQLD": program}
	return func(name string) string { return set[name] }
}

func TestRunningServersURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]login{
		"mysql://me:se%40cret@db:3307":                {"db:3307", "me", "se@cret"},
		"mysql://me@[::1]/?password-file=" + file:     {"[::1]:3306", "me", "from file"},
		"mysql://me@127.0.0.1:1":                      {"127.0.0.1:1", "me", ""},
		"mysql://me@db/somewhere":                     {},
		"mysql://db:3306":                             {},
		"me:secret@tcp(db:3306)/":                     {},
		"mysql://me:secret@db:x":                      {},
		"mysql://me:secret@db?tls=true":               {},
		"mysql://me@db?password-file=/does/not/exist": {},
	} {
		got, err := parseLogin(text)
		switch {
		case want == login{} && err == nil:
			t.Errorf("%s is taken as %+v", text, got)
		case want == login{} && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the password is in %q", text, err)
		case want != login{} && (err != nil || *got != want):
			t.Errorf("%s is taken as %+v, %v", text, got, err)
		}
	}
}

func TestWithoutADatabaseTestsAreSkippedUnlessOneIsRequired(t *testing.T) {
	for _, absent := range []error{errNoDatabase, errNoProgram} {
		t.Setenv("MULTICHAT_REQUIRE_MYSQL", "")
		if v := judge(t, func(t testing.TB) { settle(t, absent) }); v.skipped != absent.Error() || v.failed != "" {
			t.Errorf("not required: %+v", v)
		}
		t.Setenv("MULTICHAT_REQUIRE_MYSQL", "1")
		if v := judge(t, func(t testing.TB) { settle(t, absent) }); v.failed != absent.Error() || v.skipped != "" {
			t.Errorf("required: %+v", v)
		}
	}
	t.Setenv("MULTICHAT_REQUIRE_MYSQL", "")
	if v := judge(t, func(t testing.TB) { settle(t, errPortTaken) }); v.failed == "" {
		t.Errorf("a server that is there and does not start: %+v", v)
	}
}
