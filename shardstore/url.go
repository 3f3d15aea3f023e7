package shardstore

import (
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"multichat/internal/chat"
)

// Spec names a shard and says where it is.
type Spec struct {
	Name string // what people and ring 2 call the shard: 1 to 64 of a-z 0-9 . _ -
	URL  string // sqlite:FILE, or mysql://USER@HOST[:PORT][,HOST…]/DB[?password-file=PATH][&tls=…]
}

// ParseSpec reads NAME=URL. Its errors are [ErrSpec].
func ParseSpec(s string) (Spec, error) {
	name, url, ok := strings.Cut(s, "=")
	if !ok || strings.ContainsAny(name, ":/@") {
		return Spec{}, problemf(ErrSpec, "a shard is given as NAME=URL, for example a=sqlite:a.db; the name is missing")
	}
	spec := Spec{Name: name, URL: url}
	_, err := spec.location()
	return spec, err
}

// String is the shard's name. The URL is left out because of what people put into URLs.
func (s Spec) String() string { return s.Name }

// HasPassword tells whether the URL itself holds a password, which other users of the machine can see in a command line.
func (s Spec) HasPassword() bool {
	at, err := s.location()
	return err == nil && at.mysql.secret.Len() > 0
}

// location is a parsed URL: which kind of database, and where.
type location struct {
	file  string // absolute path of a SQLite database; empty for MySQL
	mysql mysqlAddress
}

// place is the same for two locations if they are of one database.
func (l location) place() string {
	if l.file != "" {
		return l.file
	}
	return l.mysql.hostList + "/" + l.mysql.database
}

// mysqlAddress says which database of which servers, and who one is there.
type mysqlAddress struct {
	user         string
	secret       chat.Secret // from the URL itself
	hostList     string      // HOST:PORT, separated by commas
	database     string
	passwordFile string
	tls          string // as the driver calls it: preferred, true, skip-verify, false
}

func (a mysqlAddress) hosts() []string { return strings.Split(a.hostList, ",") }

// location checks the name and parses the URL. No error repeats more of a URL than its scheme, or a file's name, since
// anything else may hold a password.
func (s Spec) location() (location, error) {
	if !validName(s.Name) {
		return location{}, problemf(ErrSpec, "a shard's name is 1 to 64 of a-z 0-9 . _ - and %q is not", s.Name)
	}
	scheme, rest, ok := strings.Cut(s.URL, ":")
	switch {
	case !ok || !validName(scheme):
		return location{}, problemf(ErrSpec, "shard %s: its URL names no kind of database; write sqlite:FILE or mysql://USER@HOST/DB", s.Name)
	case scheme == "mysql":
		at, err := s.parseMySQL(rest)
		return location{mysql: at}, err
	case scheme == "sqlite":
		file, err := s.parseSQLite(rest)
		return location{file: file}, err
	}
	return location{}, problemf(ErrSpec, "shard %s: unknown kind of database %q; write sqlite:FILE or mysql://USER@HOST/DB", s.Name, scheme)
}

func (s Spec) parseSQLite(rest string) (string, error) {
	switch {
	case rest == "":
		return "", problemf(ErrSpec, "shard %s: sqlite: names no file; write sqlite:FILE", s.Name)
	case strings.HasPrefix(rest, "//"):
		return "", problemf(ErrSpec, "shard %s: write sqlite:FILE without the two slashes", s.Name)
	case strings.HasPrefix(rest, ":") || strings.ContainsRune(rest, 0):
		return "", problemf(ErrSpec, "shard %s: %q is no file's name; a shard must outlive its process", s.Name, rest)
	}
	file, err := filepath.Abs(rest)
	if err != nil {
		return "", problemf(ErrSpec, "shard %s: the path of %q cannot be told: %w", s.Name, rest, err)
	}
	return file, nil
}

// parseMySQL reads //USER[:PASSWORD]@HOST[:PORT][,HOST[:PORT]…]/DB[?password-file=PATH&tls=…].
func (s Spec) parseMySQL(rest string) (at mysqlAddress, err error) {
	wrong := func(what string) error {
		return problemf(ErrSpec, "shard %s: %s; write mysql://USER@HOST[:PORT][,HOST…]/DB?password-file=PATH", s.Name, what)
	}
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return at, wrong("after mysql: two slashes are missing")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	i := strings.LastIndexByte(authority, '@')
	if i < 0 {
		return at, wrong("its URL names no user, or a / or ? in the password is not escaped as %2F or %3F")
	}
	user, password, _ := strings.Cut(authority[:i], ":")
	if at.user, err = url.PathUnescape(user); err != nil || at.user == "" {
		return at, wrong("its URL names no user, or a % in the name is not escaped as %25")
	}
	if password, err = url.PathUnescape(password); err != nil {
		return at, wrong("a % in the password is not escaped as %25")
	}
	at.secret = chat.NewSecret(password)
	if at.database, err = url.PathUnescape(database); err != nil || !validDatabase(at.database) {
		return at, wrong("its URL names no database, or one of other characters than a-z A-Z 0-9 _ $ -")
	}
	if at.hostList, ok = parseHosts(authority[i+1:]); !ok {
		return at, wrong("its URL names no host, or a host that is none")
	}
	return at, s.parseMySQLQuery(query, &at)
}

func (s Spec) parseMySQLQuery(query string, at *mysqlAddress) error {
	settings, err := url.ParseQuery(query)
	if err != nil {
		return problemf(ErrSpec, "shard %s: what follows the ? in its URL cannot be read; write ?password-file=PATH", s.Name)
	}
	at.tls = "preferred"
	for name := range settings {
		switch value := settings.Get(name); {
		case name == "password-file" && value != "":
			at.passwordFile = value
		case name == "tls" && (value == "preferred" || value == "true" || value == "skip-verify" || value == "false"):
			at.tls = value
		case name == "tls":
			return problemf(ErrSpec, "shard %s: tls is preferred, true, skip-verify or false", s.Name)
		default:
			return problemf(ErrSpec, "shard %s: its URL has a setting that is none; there are password-file=PATH and tls=MODE", s.Name)
		}
	}
	return nil
}

// parseHosts gives each of a list of hosts its port, 3306 unless it names one.
func parseHosts(list string) (string, bool) {
	var hosts []string
	for host := range strings.SplitSeq(list, ",") {
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "3306"
		}
		if name == "" || port == "" || strings.ContainsAny(name, "/@ []") || strings.Trim(port, "0123456789") != "" {
			return "", false
		}
		hosts = append(hosts, net.JoinHostPort(name, port))
	}
	return strings.Join(hosts, ","), true
}

func validDatabase(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '$' || r == '-')
	})
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
}
