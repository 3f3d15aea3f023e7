package client

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Address
	}{
		{"localhost", Address{"localhost", 9001, 9002}},
		{"chat.example.org:1/65535", Address{"chat.example.org", 1, 65535}},
		{"proxy_1-a", Address{"proxy_1-a", 9001, 9002}},
		{"127.0.0.1:19001/19002", Address{"127.0.0.1", 19001, 19002}},
		{"[::1]", Address{"::1", 9001, 9002}},
		{"[fe80::1%eth0]:9101/9102", Address{"fe80::1%eth0", 9101, 9102}},
	} {
		got, err := ParseAddress(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("%q: got %+v, %v; want %+v", tc.in, got, err, tc.want)
		}
	}
}

func TestParseAddressSaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ in, say string }{
		{"", "the host is missing"},
		{":9001/9002", "the host is missing"},
		{"a b", "no host name has"},
		{"udp://a", "is not a number"},
		{"a/b", "no host name has"},
		{"a:", "the ports are missing"},
		{"a:9001", "two ports are needed"},
		{"a:x/9002", `the UDP port "x" is not a number`},
		{"a:9001/", `the TCP port "" is not a number`},
		{"a:0/9002", "from 1 to 65535"},
		{"a:9001/65536", "from 1 to 65535"},
		{"a:9001/9002/9003", "is not a number"},
		{"::1", "write an IPv6 address in brackets"},
		{"::1:9001/9002", "write an IPv6 address in brackets"},
		{"[::1", "the bracket is not closed"},
		{"[::1]9001/9002", "after the bracket comes"},
		{"[::1]:", "the ports are missing"},
		{"[::1]:1:2/3", "is not a number"},
		{"[a]:9001/9002", "not an IPv6 address"},
		{"[127.0.0.1]", "not an IPv6 address"},
	} {
		a, err := ParseAddress(tc.in)
		if err == nil || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%q: got %+v, %v; the error should say %q", tc.in, a, err, tc.say)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"localhost", "a:1/2", "[::1]:1/2", "[fe80::1%a]", "::1", "[::]:", "a::1/2", "[[::1]]", "[::ffff:1.2.3.4]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		text, _ := a.MarshalText()
		var again Address
		if err := again.UnmarshalText(text); err != nil || again != a {
			t.Fatalf("%q became %q, and that %+v, %v", s, text, again, err)
		}
	})
}
