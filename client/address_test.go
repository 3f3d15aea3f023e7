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
		{"localhost", Address{Host: "localhost", UDP: 9001, TCP: 9002}},
		{"chat.example.org:1/65535", Address{Host: "chat.example.org", UDP: 1, TCP: 65535}},
		{"proxy_1-a", Address{Host: "proxy_1-a", UDP: 9001, TCP: 9002}},
		{"127.0.0.1:19001/19002", Address{Host: "127.0.0.1", UDP: 19001, TCP: 19002}},
		{"[::1]", Address{Host: "::1", UDP: 9001, TCP: 9002}},
		{"[fe80::1%eth0]:9101/9102", Address{Host: "fe80::1%eth0", UDP: 9101, TCP: 9102}},
		{"tls", Address{Host: "tls", UDP: 9001, TCP: 9002}},
		{"tls://chat.example.org", Address{Host: "chat.example.org", TCP: 9003, TLS: true}},
		{"tls://127.0.0.1:443", Address{Host: "127.0.0.1", TCP: 443, TLS: true}},
		{"tls://[::1]", Address{Host: "::1", TCP: 9003, TLS: true}},
		{"tls://[fe80::1%eth0]:65535", Address{Host: "fe80::1%eth0", TCP: 65535, TLS: true}},
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
		{"a:", "nothing follows the colon; write HOST[:UDP/TCP]"},
		{"a:9001", "two ports are needed"},
		{"a:x/9002", `the UDP port "x" is not a number`},
		{"a:9001/", `the TCP port "" is not a number`},
		{"a:0/9002", "from 1 to 65535"},
		{"a:9001/65536", "from 1 to 65535"},
		{"a:9001/9002/9003", "is not a number"},
		{"::1", "an IPv6 address stands in brackets"},
		{"::1:9001/9002", "an IPv6 address stands in brackets"},
		{"[::1", "the bracket is not closed"},
		{"[::1]9001/9002", "after the bracket comes"},
		{"[::1]:", "nothing follows the colon"},
		{"[::1]:1:2/3", "is not a number"},
		{"[a]:9001/9002", "not an IPv6 address"},
		{"[127.0.0.1]", "not an IPv6 address"},
		{"tls://", "the host is missing; write tls://HOST[:PORT]"},
		{"tls://a:", "nothing follows the colon; write tls://HOST[:PORT]"},
		{"tls://a:9001/9003", `the port "9001/9003" is not a number`},
		{"tls://a:0", "from 1 to 65535"},
		{"tls://a:1:2", "too many colons"},
		{"tls://::1", "an IPv6 address stands in brackets"},
		{"tls://a/", "no host name has"},
		{"tls://tls://a", `the port "//a" is not a number`},
		{"tls:a", "two ports are needed"},
	} {
		a, err := ParseAddress(tc.in)
		if err == nil || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%q: got %+v, %v; the error should say %q", tc.in, a, err, tc.say)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"localhost", "a:1/2", "[::1]:1/2", "[fe80::1%a]", "::1", "[::]:", "a::1/2", "[[::1]]", "[::ffff:1.2.3.4]", "tls://a", "tls://[::1]:2",
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
