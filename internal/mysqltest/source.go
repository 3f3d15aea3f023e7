package mysqltest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// errNoDatabase is why tests are skipped, unless a database is required.
var errNoDatabase = errors.New("no MySQL or MariaDB is found: install mariadb-server-core (Debian), or set " +
	"MULTICHAT_TEST_MYSQLD to a server program or MULTICHAT_TEST_MYSQL to a running server's URL")

// errNoProgram is the same for tests that need a server of their own.
var errNoProgram = errors.New("this test needs a server of its own, and MULTICHAT_TEST_MYSQL names one that is not: set " +
	"MULTICHAT_TEST_MYSQLD to a server program besides")

// source is where the tests' databases come from.
type source struct {
	running *login   // a server that runs already, or nil
	program *program // a server to be started, or nil; at least one of the two is there
}

// findSource follows the order of the package comment. The folders are those of the PATH.
func findSource(env func(string) string, folders []string) (s source, err error) {
	if url := env("MULTICHAT_TEST_MYSQL"); url != "" {
		if s.running, err = parseLogin(url); err != nil {
			return s, fmt.Errorf("MULTICHAT_TEST_MYSQL: %w", err)
		}
	}
	switch path := env("MULTICHAT_TEST_MYSQLD"); {
	case path != "":
		s.program, err = namedProgram(path)
	case s.running == nil:
		s.program, err = findProgram(folders)
	}
	return s, err
}

func namedProgram(path string) (*program, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("MULTICHAT_TEST_MYSQLD is %q and must be an absolute path: each test runs in its package's folder", path)
	}
	p, err := inspect(path)
	if err != nil {
		return nil, fmt.Errorf("MULTICHAT_TEST_MYSQLD: %w", err)
	}
	return p, nil
}

// findProgram prefers a MySQL anywhere to a MariaDB, whatever their names.
func findProgram(folders []string) (*program, error) {
	var maria *program
	var unusable []string
	tried := make(map[string]bool)
	for _, name := range []string{"mysqld", "mariadbd"} {
		for _, folder := range folders {
			path, err := filepath.EvalSymlinks(filepath.Join(folder, name))
			if err != nil || tried[path] || !filepath.IsAbs(path) {
				continue
			}
			tried[path] = true
			p, err := inspect(path)
			switch {
			case err != nil:
				unusable = append(unusable, err.Error())
			case p.flavor == MySQL:
				return p, nil
			case maria == nil:
				maria = p
			}
		}
	}
	if maria == nil && len(unusable) > 0 {
		return nil, fmt.Errorf("%w; unusable: %s", errNoDatabase, strings.Join(unusable, "; "))
	}
	if maria == nil {
		return nil, errNoDatabase
	}
	return maria, nil
}

// programFolders is the PATH, and where Debian keeps servers, which is not on the PATH of all users.
func programFolders() []string {
	return append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin", "/usr/sbin")
}
