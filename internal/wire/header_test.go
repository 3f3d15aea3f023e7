package wire

import (
	"fmt"
	"strings"
	"testing"

	"multichat/internal/chat"
)

func TestParseHeader(t *testing.T) {
	sixteen := strings.Repeat("k", 16)
	for _, tc := range []struct {
		name, in string
		want     string // verb|attrs|fields; empty when refused
	}{
		{"a verb alone", "bye", "bye||"},
		{"a verb and fields", "ack:bob:7", "ack||bob:7"},
		{"no field is not an empty field", "bye:", "bye||"},
		{"attributes", "ping;id=7", "ping|id=7|"},
		{"attributes and fields", "newmsg;id=m;len=3:1:Bob:bob:hey", "newmsg|id=m;len=3|1:Bob:bob:hey"},
		{"after the colon nothing is an attribute", "err:busy:a;b=c;", "err||busy:a;b=c;"},
		{"a value may hold an =", "ping;id=a=b", "ping|id=a=b|"},
		{"a value may be 64 bytes", "ping;id=" + strings.Repeat("v", 64), "ping|id=" + strings.Repeat("v", 64) + "|"},
		{"a key may be 16 bytes", "ping;" + sixteen + "=1", "ping|" + sixteen + "=1|"},
		{"16 attributes", "ping" + attrs(16), "ping|" + attrs(16)[1:] + "|"},

		{"nothing", "", ""},
		{"no verb", ":a:b", ""},
		{"no verb before attributes", ";id=7", ""},
		{"a digit in the verb", "v2:a", ""},
		{"17 letters of verb", sixteen + "k:a", ""},
		{"an empty attribute", "ping;", ""},
		{"an empty attribute at the end", "ping;id=7;", ""},
		{"no value", "ping;id", ""},
		{"an empty value", "ping;id=", ""},
		{"a value of 65 bytes", "ping;id=" + strings.Repeat("v", 65), ""},
		{"a value that is not UTF-8", "ping;id=\xff", ""},
		{"a control character in a value", "ping;id=a\tb", ""},
		{"no key", "ping;=7", ""},
		{"a key in capitals", "ping;ID=7", ""},
		{"a key of 17 bytes", "ping;" + sixteen + "k=1", ""},
		{"a key twice", "ping;id=7;v=2;id=7", ""},
		{"17 attributes", "ping" + attrs(17), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, err := parseHeader([]byte(tc.in))
			if tc.want == "" {
				wantCode(t, err, chat.CodeBadReq)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%s|%s|%s", h.verb, h.attrs, h.fields); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// attrs is n attributes of different keys, each with its semicolon.
func attrs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ";k%d=%d", i, i)
	}
	return b.String()
}

func TestHeaderAttr(t *testing.T) {
	h, err := parseHeader([]byte("newmsg;id=m;to=%;future=yes:x"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"id": "m", "to": "%", "future": "yes", "seq": "", "i": "", "x": ""} {
		if got := h.attr(key); string(got) != want {
			t.Errorf("attr %q is %q, want %q", key, got, want)
		}
	}
}

func TestHeaderSplit(t *testing.T) {
	for _, tc := range []struct {
		in     string
		enough bool
		last   string
	}{
		{"v", false, ""},
		{"v:a:b", false, ""},
		{"v:a:b:c", true, "c"},
		{"v:a:b:", true, ""},
		{"v:a:b:c:d\n:", true, "c:d\n:"},
	} {
		h, err := parseHeader([]byte(tc.in))
		if err != nil {
			t.Fatal(err)
		}
		var a, b, c []byte
		if got := h.split(&a, &b, &c); got != tc.enough {
			t.Errorf("%q: enough is %v, want %v", tc.in, got, tc.enough)
		} else if got && string(c) != tc.last {
			t.Errorf("%q: the last field is %q, want %q", tc.in, c, tc.last)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, seed := range []string{"bye", "poll;v=2;id=1:a:b:0", "a;b=c;d=e=f:", "a;b=;c", ";:", "a;a=1;a=2", "a;;=:"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := parseHeader(in)
		if err != nil {
			return
		}
		out := append([]byte{}, h.verb...)
		if h.attrs != nil {
			out = append(append(out, ';'), h.attrs...)
		}
		if h.fields != nil {
			out = append(append(out, ':'), h.fields...)
		}
		if string(out) != string(in) {
			t.Fatalf("%q was cut into parts that make %q", in, out)
		}
	})
}
