package shardstore_test

import (
	"errors"
	"strings"
	"testing"

	"multichat/shardstore"
)

func TestParseSpec(t *testing.T) {
	for _, text := range []string{
		"a=sqlite:a.db", "shard-1=sqlite:/var/lib/multichat/1.db", "a.b_c=sqlite:a=b?c#d.db", "a=sqlite:./dir with space/a.db",
		"a=mysql://multichat@db/a", "a=mysql://multichat:pass:w@rd@db/a",
		"a=mysql://multi%40chat@10.0.0.1:3307,[::1],[::2]:3308,db/a-b?password-file=/run/secrets/a&tls=true",
	} {
		name, url, _ := strings.Cut(text, "=")
		if got, err := shardstore.ParseSpec(text); err != nil || got.Name != name || got.URL != url {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":                {"", "NAME=URL"},
		"no name":              {"sqlite:a.db", "the name is missing"},
		"no name, but a =":     {"sqlite:a=b.db", "the name is missing"},
		"empty name":           {"=sqlite:a.db", "a shard's name is"},
		"name with a space":    {"a b=sqlite:a.db", "a shard's name is"},
		"name in upper case":   {"A=sqlite:a.db", "a shard's name is"},
		"name too long":        {strings.Repeat("a", 65) + "=sqlite:a.db", "a shard's name is"},
		"no kind":              {"a=a.db", "names no kind of database"},
		"misspelt kind":        {"a=sqlit:a.db", `"sqlit"`},
		"mysql: one slash":     {"a=mysql:/multichat:secret@db/a", "two slashes are missing"},
		"mysql: no user":       {"a=mysql://db/a?password-file=secret", "names no user"},
		"mysql: empty user":    {"a=mysql://:secret@db/a", "names no user"},
		"mysql: no host":       {"a=mysql://multichat:secret@/a", "names no host"},
		"mysql: an empty host": {"a=mysql://multichat:secret@db,,db2/a", "names no host"},
		"mysql: a wrong port":  {"a=mysql://multichat:secret@db:x/a", "names no host"},
		"mysql: no database":   {"a=mysql://multichat:secret@db", "names no database"},
		"mysql: a quote":       {"a=mysql://multichat:secret@db/a`b", "names no database"},
		"mysql: a bare %":      {"a=mysql://multichat:secret%@db/a", "not escaped"},
		"mysql: a setting":     {"a=mysql://multichat@db/a?secret=1", "a setting that is none"},
		"mysql: tls":           {"a=mysql://multichat@db/a?tls=secret", "tls is preferred"},
		"mysql: a semicolon":   {"a=mysql://multichat@db/a?secret;1", "cannot be read"},
		"another kind":         {"a=postgres://multichat:secret@db/a", `"postgres"`},
		"a password at once":   {"a=//multichat:secret@db/a", "names no kind of database"},
		"no file":              {"a=sqlite:", "names no file"},
		"two slashes":          {"a=sqlite://a.db", "without the two slashes"},
		"a database in memory": {"a=sqlite::memory:", "outlive"},
		"a NUL":                {"a=sqlite:a\x00b", "no file's name"},
	} {
		_, err := shardstore.ParseSpec(c.text)
		if !errors.Is(err, shardstore.ErrSpec) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v; want an ErrSpec with %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add("a=sqlite:a.db")
	f.Add("a=mysql://u:p@h/db")
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := shardstore.ParseSpec(text)
		switch {
		case err == nil && spec.Name+"="+spec.URL != text:
			t.Errorf("%q became %+v", text, spec)
		case err != nil && !errors.Is(err, shardstore.ErrSpec):
			t.Errorf("%q: %v is no ErrSpec", text, err)
		case err != nil && strings.ContainsAny(err.Error(), "\n\x00"):
			t.Errorf("%q: the error is more than a sentence: %q", text, err)
		}
	})
}

func TestAURLTellsWhetherItHoldsAPassword(t *testing.T) {
	for text, want := range map[string]bool{
		"a=sqlite:a.db": false, "a=mysql://multichat@db/a": false, "a=mysql://multichat:@db/a": false,
		"a=mysql://multichat:secret@db/a": true, "a=mysql://multichat@db/a?password-file=f": false,
	} {
		spec, err := shardstore.ParseSpec(text)
		if err != nil || spec.HasPassword() != want {
			t.Errorf("%s: %t, %v; want %t", text, spec.HasPassword(), err, want)
		}
	}
}
