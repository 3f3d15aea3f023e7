package shardstore

import (
	"path/filepath"
	"strings"
)

// Spec names a shard and says where it is.
type Spec struct {
	Name string // what people and ring 2 call the shard: 1 to 64 of a-z 0-9 . _ -
	URL  string // sqlite:FILE
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

// location is a parsed URL: which kind of database, and where.
type location struct {
	file string // absolute path of a SQLite database
}

// location checks the name and parses the URL. No error repeats more of a URL than its scheme, or a file's name, since
// anything else may hold a password.
func (s Spec) location() (location, error) {
	if !validName(s.Name) {
		return location{}, problemf(ErrSpec, "a shard's name is 1 to 64 of a-z 0-9 . _ - and %q is not", s.Name)
	}
	scheme, rest, ok := strings.Cut(s.URL, ":")
	switch {
	case !ok || !validName(scheme):
		return location{}, problemf(ErrSpec, "shard %s: its URL names no kind of database; write sqlite:FILE", s.Name)
	case scheme == "mysql":
		return location{}, problemf(ErrSpec, "shard %s: mysql:// is not in this version yet; write sqlite:FILE", s.Name)
	case scheme != "sqlite":
		return location{}, problemf(ErrSpec, "shard %s: unknown kind of database %q; write sqlite:FILE", s.Name, scheme)
	case rest == "":
		return location{}, problemf(ErrSpec, "shard %s: sqlite: names no file; write sqlite:FILE", s.Name)
	case strings.HasPrefix(rest, "//"):
		return location{}, problemf(ErrSpec, "shard %s: write sqlite:FILE without the two slashes", s.Name)
	case strings.HasPrefix(rest, ":") || strings.ContainsRune(rest, 0):
		return location{}, problemf(ErrSpec, "shard %s: %q is no file's name; a shard must outlive its process", s.Name, rest)
	}
	file, err := filepath.Abs(rest)
	if err != nil {
		return location{}, problemf(ErrSpec, "shard %s: the path of %q cannot be told: %w", s.Name, rest, err)
	}
	return location{file: file}, nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
}
