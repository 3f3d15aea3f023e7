package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"multichat/internal/chat"
)

// nothingMore fails the read that asks for more than a test allows.
func nothingMore(sent string) io.Reader {
	return iotest.OneByteReader(io.MultiReader(strings.NewReader(sent), iotest.ErrReader(errors.New("was read on"))))
}

func TestVersion(t *testing.T) {
	for begin, want := range map[string]int{
		"wrmsg:":                      1,
		"poll:":                       1,
		"a:":                          1,
		strings.Repeat("v", 16) + ":": 1,
		"poll;":                       2,
		"wrmsg;":                      2,
		"bye\n":                       2,
		"ping\r":                      2,
		strings.Repeat("v", 16) + ";": 2,
	} {
		r := bufio.NewReader(nothingMore(begin))
		for range 2 {
			if got, err := Version(r); got != want || err != nil {
				t.Errorf("%q: got %d, %v; want %d", begin, got, err, want)
			}
		}
		if r.Buffered() != len(begin) {
			t.Errorf("%q: %d bytes are left", begin, r.Buffered())
		}
	}
}

func TestVersionRefuses(t *testing.T) {
	for _, begin := range []string{
		":", ";", "\n", "\r\n", " ", "POLL", "v2", "\x16\x03\x01", "GET / HTTP/1.1\r\n", strings.Repeat("v", 17),
	} {
		_, err := Version(bufio.NewReader(nothingMore(begin)))
		wantCode(t, err, chat.CodeBadReq)
	}
	_, err := Version(bufio.NewReader(strings.NewReader("poll")))
	wantCode(t, err, chat.CodeBadReq)
}

func TestVersionTellsAProbeAndAFailure(t *testing.T) {
	if _, err := Version(bufio.NewReader(strings.NewReader(""))); err != ErrEmpty {
		t.Errorf("got %v, want ErrEmpty", err)
	}
	for _, sent := range []string{"", "pol"} {
		r := io.MultiReader(strings.NewReader(sent), iotest.ErrReader(os.ErrDeadlineExceeded))
		if _, err := Version(bufio.NewReader(r)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q: got %v, want the reader's own error", sent, err)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"poll;v=2:a:b:0\n", "wrmsg:a:b:%:hi", "bye\n", "bye\r\n", "", "x", ":", "wrmsgwrmsgwrmsgwrmsg"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		version, err := Version(r)
		slow, slowErr := Version(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(in))))
		if version != slow || (err == nil) != (slowErr == nil) || err != nil && err.Error() != slowErr.Error() {
			t.Fatalf("%q: at once %d, %v; a byte a time %d, %v", in, version, err, slow, slowErr)
		}
		if rest, _ := io.ReadAll(r); !bytes.Equal(rest, in) {
			t.Fatalf("%q: %q is left", in, rest)
		}
		if (version == 0) != (err != nil) {
			t.Fatalf("%q: version %d and %v", in, version, err)
		}
		if _, err := ReadRequest(bufio.NewReader(bytes.NewReader(in)), Limits{}); err == nil && version != 1 {
			t.Fatalf("%q is a request of version 1, and its version is %d", in, version)
		}
	})
}
