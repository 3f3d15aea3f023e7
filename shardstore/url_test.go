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
		"a kind to come":       {"a=mysql://multichat:secret@db/a", "not in this version yet"},
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
