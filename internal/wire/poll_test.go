package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"multichat/internal/chat"
)

func TestDecodePoll(t *testing.T) {
	long := strings.Repeat("a", chat.MaxUserID)
	secret := strings.Repeat("p", chat.MaxPassword)
	for _, tc := range []struct {
		name, datagram       string
		user, password, port string // what is decoded; all empty when refused
		code                 chat.Code
	}{
		{"a poll", "poll:alice:secret:10001", "alice", "secret", "10001", ""},
		{"in the older reading", "poll:alice:secret:4391", "alice", "secret", "4391", ""},
		{"with a newline", "poll:alice:secret:10001\n", "alice", "secret", "10001", ""},
		{"with a newline of the other kind", "poll:alice:secret:10001\r\n", "alice", "secret", "10001", ""},
		{"with an empty password", "poll:alice::10001", "alice", "", "10001", ""},
		{"a password may hold ; and %", "poll:alice:a;b%c d:10001", "alice", "a;b%c d", "10001", ""},
		{"names are UTF-8", "poll:žofie:hélène:10001", "žofie", "hélène", "10001", ""},
		{"the least port", "poll:alice:secret:0", "alice", "secret", "0", ""},
		{"the largest port", "poll:alice:secret:65535", "alice", "secret", "65535", ""},
		{"leading zeros mean nothing", "poll:alice:secret:00080", "alice", "secret", "80", ""},
		{"the longest names", "poll:" + long + ":" + secret + ":1", long, secret, "1", ""},

		{"nothing", "", "", "", "", chat.CodeBadReq},
		{"a newline alone", "\n", "", "", "", chat.CodeBadReq},
		{"two newlines", "poll:alice:secret:10001\n\n", "", "", "", chat.CodeBadReq},
		{"the verb alone", "poll", "", "", "", chat.CodeBadReq},
		{"another verb", "wrmsg:alice:secret:10001", "", "", "", chat.CodeBadReq},
		{"a verb in capitals", "POLL:alice:secret:10001", "", "", "", chat.CodeBadReq},
		{"a verb that is too long", strings.Repeat("p", 17) + ":alice:secret:10001", "", "", "", chat.CodeBadReq},
		{"no port", "poll:alice:secret", "", "", "", chat.CodeBadReq},
		{"an empty port", "poll:alice:secret:", "", "", "", chat.CodeBadReq},
		{"a field too many", "poll:alice:secret:10001:1", "", "", "", chat.CodeBadReq},
		{"a port over 65535", "poll:alice:secret:65536", "", "", "", chat.CodeBadReq},
		{"a port with a sign", "poll:alice:secret:+80", "", "", "", chat.CodeBadReq},
		{"a port with a space", "poll:alice:secret: 80", "", "", "", chat.CodeBadReq},
		{"a port with something behind", "poll:alice:secret:80x", "", "", "", chat.CodeBadReq},
		{"a port of six digits", "poll:alice:secret:000080", "", "", "", chat.CodeBadReq},
		{"no userid", "poll::secret:10001", "", "", "", chat.CodeBadReq},
		{"a forbidden userid", "poll:al%ice:secret:10001", "", "", "", chat.CodeBadReq},
		{"a userid that is not UTF-8", "poll:al\xffice:secret:10001", "", "", "", chat.CodeBadReq},
		{"a userid over its limit", "poll:" + long + "a:secret:10001", "", "", "", chat.CodeTooLarge},
		{"a control character in the password", "poll:alice:se\x00cret:10001", "", "", "", chat.CodeBadReq},
		{"a password over its limit", "poll:alice:" + secret + "p:10001", "", "", "", chat.CodeTooLarge},
		{"a datagram over its limit", "poll:alice:secret:10001" + strings.Repeat("\n", MaxPoll), "", "", "", chat.CodeTooLarge},
		{"the largest datagram there is", strings.Repeat("a", 65507), "", "", "", chat.CodeTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := DecodePoll([]byte(tc.datagram))
			if tc.code != "" {
				wantCode(t, err, tc.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %s %d", p.User, p.Password.Reveal(), p.Port)
			if want := tc.user + " " + tc.password + " " + tc.port; got != want {
				t.Errorf("decoded %q, want %q", got, want)
			}
		})
	}
}

func TestStreamPollByDatagramIsToldApart(t *testing.T) {
	for _, datagram := range []string{"poll;v=2;id=1;dev=phone:alice:secret:0\n", "poll;", "poll;=:a:b:1"} {
		if _, err := DecodePoll([]byte(datagram)); !errors.Is(err, ErrStreamPoll) {
			t.Errorf("%q: got %v, want ErrStreamPoll", datagram, err)
		}
	}
	if _, err := DecodePoll([]byte("pol;v=2:alice:secret:0")); errors.Is(err, ErrStreamPoll) {
		t.Error("another verb counts as a poll of a stream")
	}
}

func TestPollErrorsKeepTheSecret(t *testing.T) {
	const password = "correcthorse"
	for _, datagram := range []string{
		password + ":alice:10001",
		"poll:alice:" + password,
		"poll:alice:" + password + "\x01:10001",
		"poll:alice:" + password + ":port",
		"poll:alice:x:" + password,
	} {
		if _, err := DecodePoll([]byte(datagram)); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("%q: the error is %q", datagram, err)
		}
	}
}

func TestDecodePollAllocatesNothing(t *testing.T) {
	// Longer than what the compiler would copy to the stack.
	datagram := []byte("poll:" + strings.Repeat("a", 64) + ":" + strings.Repeat("p", 100) + ":10001\n")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := DecodePoll(datagram); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReadings(t *testing.T) {
	for _, tc := range []struct{ port, itself, swapped uint16 }{
		{10001, 10001, 4391}, // 0x2711, 0x1127
		{4391, 4391, 10001},
		{0x0400, 0x0400, 4},
		{0x2727, 0x2727, 0x2727}, // both readings are one
		{0, 0, 0},
		{65535, 65535, 65535},
	} {
		if itself, swapped := Readings(tc.port); itself != tc.itself || swapped != tc.swapped {
			t.Errorf("Readings(%d) = %d, %d; want %d, %d", tc.port, itself, swapped, tc.itself, tc.swapped)
		}
	}
}

func FuzzDecodePoll(f *testing.F) {
	for _, seed := range []string{
		"poll:alice:secret:10001", "poll:alice:secret:10001\r\n", "poll:a::0", "poll;v=2:a:b:0", "poll:a:b:65536", "poll:a:b:+1",
		"poll:žofie:pass word:00001", "poll::::", "", ":", "poll:al ice: :1\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p, err := DecodePoll(datagram)
		if err != nil {
			if chat.AsError(err).Code == chat.CodeUnknown {
				t.Fatalf("an error without an answer: %v", err)
			}
			return
		}
		again := AppendPoll(nil, p)
		q, err := DecodePoll(again)
		if err != nil {
			t.Fatalf("%q was encoded as %q: %v", datagram, again, err)
		}
		if !bytes.Equal(p.User, q.User) || !p.Password.Equal(q.Password) || p.Port != q.Port {
			t.Fatalf("%q came back as %q", datagram, again)
		}
	})
}

func BenchmarkDecodePoll(b *testing.B) {
	datagram := []byte("poll:alice:a password of usual length:10001")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodePoll(datagram); err != nil {
			b.Fatal(err)
		}
	}
}

func wantCode(t *testing.T, err error, code chat.Code) {
	t.Helper()
	e, ok := errors.AsType[*chat.Error](err)
	if !ok || e.Code != code {
		t.Errorf("got error %v, want code %s", err, code)
	}
}
