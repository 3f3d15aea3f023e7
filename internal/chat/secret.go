package chat

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"unsafe"
)

const redacted = "[redacted]"

// Secret holds a password or a key and prints as "[redacted]" through fmt, slog, JSON and text encodings. It keeps a
// pointer, so that even printing a struct by reflection, unexported fields and all, shows an address and never the
// content. The zero value is the empty secret.
type Secret struct {
	p *byte
	n int
}

// NewSecret keeps s.
func NewSecret(s string) Secret {
	return Secret{unsafe.StringData(s), len(s)}
}

// ViewSecret makes a secret of b without copying, for the hot path: it changes when b does. Keep a [Secret.Clone].
func ViewSecret(b []byte) Secret {
	return Secret{unsafe.SliceData(b), len(b)}
}

// Clone is a copy that does not change with the bytes that s was made of.
func (s Secret) Clone() Secret { return NewSecret(string(s.view())) }

// Reveal is the content. The call is easy to search for; there should be few.
func (s Secret) Reveal() string { return string(s.view()) }

// AppendTo appends the content to b.
func (s Secret) AppendTo(b []byte) []byte { return append(b, s.view()...) }

// Len is the content's length in bytes.
func (s Secret) Len() int { return s.n }

// Equal compares in time that depends on the lengths alone.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.view(), other.view()) == 1
}

func (s Secret) view() []byte { return unsafe.Slice(s.p, s.n) }

// String is always "[redacted]".
func (Secret) String() string { return redacted }

// Format prints "[redacted]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue prints "[redacted]" in logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText encodes "[redacted]", in JSON too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
