package chat_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"multichat/internal/chat"
)

// password is what must not be seen, in any of the forms that fmt and the encoders might give it.
const password = "Tr0ub4dor"

var leaks = []string{
	password,
	hex.EncodeToString([]byte(password)), strings.ToUpper(hex.EncodeToString([]byte(password))), // %x, %X
	fmt.Sprintf("% x", password),
	strings.Trim(fmt.Sprint([]byte(password)), "[]"), // %d, and %v of bytes
	base64.StdEncoding.EncodeToString([]byte(password)),
}

func wantNoLeak(t *testing.T, how, printed string) {
	t.Helper()
	if printed == "" {
		t.Errorf("%s prints nothing", how)
	}
	for _, leak := range leaks {
		if strings.Contains(printed, leak) {
			t.Errorf("%s prints %s", how, printed)
		}
	}
}

// Secrets sit in the fields of many structs, and somebody prints the struct.
type (
	public  struct{ Password chat.Secret }
	private struct{ password chat.Secret }
	nested  struct {
		name  string
		inner private
		outer *public
		list  []chat.Secret
		named map[string]chat.Secret
		any   any
	}
	embedded struct{ chat.Secret }
)

func holders() map[string]any {
	s := chat.NewSecret(password)
	return map[string]any{
		"a secret":          s,
		"a pointer":         &s,
		"a view":            chat.ViewSecret([]byte(password)),
		"an exported field": public{s},
		"a hidden field":    private{s},
		"pointers":          []any{&public{s}, &private{s}, &s},
		"nested":            nested{"alice", private{s}, &public{s}, []chat.Secret{s}, map[string]chat.Secret{"a": s}, s},
		"a nested pointer":  &nested{"alice", private{s}, &public{s}, []chat.Secret{s}, map[string]chat.Secret{"a": s}, &s},
		"a slice":           []chat.Secret{s, s},
		"an array":          [1]chat.Secret{s},
		"a map":             map[string]chat.Secret{"alice": s},
		"a map of structs":  map[string]private{"alice": {s}},
		"embedded":          embedded{s},
		"an error":          fmt.Errorf("logging in with %v: %w", s, errors.New("refused")),
		"an answer":         chat.Errorf(chat.CodeAuth, "the password %s is wrong", s),
	}
}

func TestSecretNeverPrints(t *testing.T) {
	for name, v := range holders() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%c", "%U", "%t", "%p", "%10.3s"} {
			wantNoLeak(t, name+" by "+verb, fmt.Sprintf(verb, v))
		}
		wantNoLeak(t, name+" by Sprint", fmt.Sprint(v))
	}
}

func TestSecretNeverLogs(t *testing.T) {
	for name, v := range holders() {
		for kind, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var out bytes.Buffer
			log := slog.New(handler(&out))
			log.With("with", v).WithGroup("group").Info("message", "value", v, slog.Group("inner", "value", v))
			wantNoLeak(t, name+" in a log of "+kind, out.String())
		}
	}
}

func TestSecretNeverMarshals(t *testing.T) {
	for name, v := range holders() {
		out, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantNoLeak(t, name+" in JSON", string(out))
	}
}

// Where a secret stands for itself, a reader sees that there is one, and not how long it is.
func TestSecretPrintsAsRedacted(t *testing.T) {
	s := chat.NewSecret(password)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, secret := range []chat.Secret{s, {}} {
			if got := fmt.Sprintf(verb, secret); got != "[redacted]" {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
	if got := s.String(); got != "[redacted]" {
		t.Errorf("String is %s", got)
	}
	if out, err := json.Marshal(public{s}); err != nil || string(out) != `{"Password":"[redacted]"}` {
		t.Errorf("JSON is %s, %v", out, err)
	}
}

func TestSecretKeepsItsContent(t *testing.T) {
	for _, content := range []string{"", "a", password, "with \x00 and ü", strings.Repeat("x", 1000)} {
		for kind, s := range map[string]chat.Secret{
			"new":    chat.NewSecret(content),
			"view":   chat.ViewSecret([]byte(content)),
			"cloned": chat.ViewSecret([]byte(content)).Clone(),
		} {
			if s.Reveal() != content || s.Len() != len(content) || string(s.AppendTo([]byte("a:"))) != "a:"+content {
				t.Errorf("%s: %q became %q with length %d", kind, content, s.Reveal(), s.Len())
			}
		}
	}
}

func TestSecretsAreEqualByContent(t *testing.T) {
	for _, tc := range []struct {
		a, b  string
		equal bool
	}{
		{"", "", true},
		{password, password, true},
		{password, "", false},
		{password, password[1:], false},
		{password, password + "x", false},
		{password, strings.ToLower(password), false},
	} {
		a, b := chat.NewSecret(tc.a), chat.ViewSecret([]byte(tc.b))
		if a.Equal(b) != tc.equal || b.Equal(a) != tc.equal {
			t.Errorf("%q equals %q: not %v", tc.a, tc.b, tc.equal)
		}
	}
	if !(chat.Secret{}).Equal(chat.NewSecret("")) {
		t.Error("the zero value is not the empty secret")
	}
}

func TestCloneOutlivesTheBytesThatWereViewed(t *testing.T) {
	datagram := []byte(password)
	view := chat.ViewSecret(datagram)
	clone := view.Clone()
	copy(datagram, "overwrite")
	if clone.Reveal() != password {
		t.Errorf("the clone became %q", clone.Reveal())
	}
	if view.Reveal() != "overwrite" {
		t.Errorf("the view stayed %q", view.Reveal())
	}
}
