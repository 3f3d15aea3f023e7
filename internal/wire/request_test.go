package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"multichat/internal/chat"
)

func read(r io.Reader, limit int) (Wrmsg, error) {
	return ReadRequest(bufio.NewReader(r), Limits{MaxText: limit})
}

func TestReadRequestTakesWrmsg(t *testing.T) {
	hundred := strings.Repeat("x", 100)
	for _, tc := range []struct {
		name, in           string
		user, password, to string
		text               string
	}{
		{"to everyone", "wrmsg:alice:secret:%:hello", "alice", "secret", "%", "hello"},
		{"to one", "wrmsg:alice:secret:bob:hello", "alice", "secret", "bob", "hello"},
		{"to oneself", "wrmsg:alice:secret:alice:hello", "alice", "secret", "alice", "hello"},
		{"colons are of the text", "wrmsg:alice:secret:%:a:b::c:", "alice", "secret", "%", "a:b::c:"},
		{"newlines are of the text", "wrmsg:alice:secret:%:\na\r\nb\n", "alice", "secret", "%", "\na\r\nb\n"},
		{"the text is opaque", "wrmsg:alice:secret:%:\xff\xfe\x01;len=3", "alice", "secret", "%", "\xff\xfe\x01;len=3"},
		{"the text may be empty", "wrmsg:alice:secret:%:", "alice", "secret", "%", ""},
		{"the text may have 100 bytes", "wrmsg:alice:secret:%:" + hundred, "alice", "secret", "%", hundred},
		{"the password may be empty", "wrmsg:alice::bob:hello", "alice", "", "bob", "hello"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := Wrmsg{User: chat.UserID(tc.user), To: chat.Mailbox(tc.to), Text: []byte(tc.text)}
			for kind, r := range map[string]io.Reader{
				"at once":         strings.NewReader(tc.in),
				"a byte a time":   iotest.OneByteReader(strings.NewReader(tc.in)),
				"EOF with a byte": iotest.DataErrReader(strings.NewReader(tc.in)),
			} {
				m, err := read(r, 100)
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				if m.Password.Reveal() != tc.password {
					t.Errorf("%s: the password is another", kind)
				}
				m.Password = chat.Secret{}
				if !reflect.DeepEqual(m, want) {
					t.Errorf("%s: got %+v, want %+v", kind, m, want)
				}
			}
		})
	}
}

func TestReadRequestRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		code     chat.Code
	}{
		{"an unknown verb", "send:alice:secret:%:hello", chat.CodeBadReq},
		{"a poll", "poll:alice:secret:10001", chat.CodeBadReq},
		{"a verb that begins alike", "wrmsgs:alice:secret:%:hello", chat.CodeBadReq},
		{"no verb", ":alice:secret:%:hello", chat.CodeBadReq},
		{"another protocol", "GET / HTTP/1.1\r\n\r\n", chat.CodeBadReq},
		{"TLS", "\x16\x03\x01\x02\x00", chat.CodeBadReq},
		{"a newline", "\n", chat.CodeBadReq},
		{"a verb cut off", "wrm", chat.CodeBadReq},
		{"a verb without an end", strings.Repeat("w", 100), chat.CodeBadReq},
		{"no fields", "wrmsg:", chat.CodeBadReq},
		{"no recipient", "wrmsg:alice:secret", chat.CodeBadReq},
		{"no text", "wrmsg:alice:secret:%", chat.CodeBadReq},
		{"an empty recipient", "wrmsg:alice:secret::hello", chat.CodeBadReq},
		{"a forbidden recipient", "wrmsg:alice:secret:%%:hello", chat.CodeBadReq},
		{"an empty userid", "wrmsg::secret:%:hello", chat.CodeBadReq},
		{"a userid with a newline", "wrmsg:ali\nce:secret:%:hello", chat.CodeBadReq},
		{"NUL in the text", "wrmsg:alice:secret:%:he\x00llo", chat.CodeBadReq},
		{"NUL in the password", "wrmsg:alice:sec\x00ret:%:hello", chat.CodeBadReq},
		{"a userid over its limit", "wrmsg:" + strings.Repeat("a", 65) + ":secret:%:hello", chat.CodeTooLarge},
		{"a password over its limit", "wrmsg:alice:" + strings.Repeat("p", 129) + ":%:hello", chat.CodeTooLarge},
		{"a text over its limit", "wrmsg:alice:secret:%:" + strings.Repeat("x", 101), chat.CodeTooLarge},
		{"a field without an end", "wrmsg:" + strings.Repeat("a", MaxHeader), chat.CodeTooLarge},
		{"a login of version 2", "poll;v=2;id=1:alice:secret:0\n", chat.CodeBadReq},
		{"a send of version 2", "wrmsg;id=1;len=2:alice:secret:%:hi\n", chat.CodeBadReq},
		{"a verb and a newline", "bye\n", chat.CodeBadReq},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := read(strings.NewReader(tc.in), 100)
			wantCode(t, err, tc.code)
			_, err = read(iotest.OneByteReader(strings.NewReader(tc.in)), 100)
			wantCode(t, err, tc.code)
		})
	}
}

func TestReadRequestTellsAProbeFromARequest(t *testing.T) {
	if _, err := read(strings.NewReader(""), 0); err != ErrEmpty {
		t.Errorf("got %v, want ErrEmpty", err)
	}
}

func TestReadRequestPassesFailuresOn(t *testing.T) {
	for _, sent := range []string{"", "wr", "wrmsg:ali", "wrmsg:alice:secret:%:hel"} {
		r := io.MultiReader(strings.NewReader(sent), iotest.ErrReader(os.ErrDeadlineExceeded))
		_, err := read(r, 0)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q: got %v, want the reader's own error", sent, err)
		}
	}
}

// endless repeats its bytes for ever and counts what was read.
type endless struct {
	bytes string
	read  int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.bytes[(e.read+i)%len(e.bytes)]
	}
	e.read += len(p)
	return len(p), nil
}

func TestReadRequestStopsAtItsLimits(t *testing.T) {
	for _, tc := range []struct{ name, begin, repeat string }{
		{"a verb without an end", "", "w"},
		{"a field without an end", "wrmsg:", "a"},
		{"a text without an end", "wrmsg:alice:secret:%:", "x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rest := &endless{bytes: tc.repeat}
			_, err := read(iotest.OneByteReader(io.MultiReader(strings.NewReader(tc.begin), rest)), 0)
			if e := chat.AsError(err); e == nil || e.Code != chat.CodeBadReq && e.Code != chat.CodeTooLarge {
				t.Errorf("got %v, want a refusal", err)
			}
			if rest.read > chat.DefaultMaxText+1 {
				t.Errorf("read %d bytes", rest.read)
			}
		})
	}
}

// A refusal that can be told from the fields is told while the text is still being sent.
func TestReadRequestRefusesWithoutWaitingForTheEnd(t *testing.T) {
	for _, begin := range []string{"send:", "poll:", "wrmsg:a%b:secret:%:", "wrmsg;", "bye\n"} {
		_, err := read(io.MultiReader(strings.NewReader(begin), iotest.ErrReader(errors.New("was read on"))), 0)
		wantCode(t, err, chat.CodeBadReq)
	}
}

func FuzzReadRequest(f *testing.F) {
	for _, seed := range []string{
		"wrmsg:alice:secret:%:hello", "wrmsg:a::b:", "wrmsg:a:b:c:d:e\n\n", "wrmsg:a:b:c:\x00", "wrmsg:a:b:%", "poll:a:b:1",
		"wrmsg;id=1:a:b:c:d", "bye\n", "", ":", "wrmsg:a:b:%:\xff", "wrmsg:a:b:%:" + strings.Repeat("é", 40),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := read(bytes.NewReader(in), 64)
		slow, slowErr := read(iotest.OneByteReader(bytes.NewReader(in)), 64)
		if (err == nil) != (slowErr == nil) || err != nil && err.Error() != slowErr.Error() {
			t.Fatalf("%q: at once %v, a byte a time %v", in, err, slowErr)
		}
		if err != nil {
			return
		}
		again, err := read(bytes.NewReader(AppendWrmsg(nil, m)), 64)
		if err != nil {
			t.Fatalf("%q: encoded and read again: %v", in, err)
		}
		for _, other := range []Wrmsg{slow, again} {
			if !m.Password.Equal(other.Password) {
				t.Fatalf("%q: the password changed", in)
			}
			other.Password = m.Password
			if !reflect.DeepEqual(m, other) {
				t.Fatalf("%q: %+v became %+v", in, m, other)
			}
		}
	})
}

func BenchmarkReadRequest(b *testing.B) {
	in := []byte("wrmsg:alice:a password of usual length:%:" + strings.Repeat("hello ", 20))
	source := bytes.NewReader(in)
	r := bufio.NewReader(source)
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(in)
		r.Reset(source)
		if _, err := ReadRequest(r, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
