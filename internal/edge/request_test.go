package edge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// uuid7 is the form of the ids that the edge gives: they begin with the time.
const uuid7 = `[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`

var (
	okLine  = regexp.MustCompile(`^ok;id=(` + uuid7 + `);seq=7\n$`)
	errLine = regexp.MustCompile(`^err;id=` + uuid7 + `:([a-z]+):([^\n]+)\n$`)
)

const hello = "wrmsg:alice:secret:bob:hello"

// wantErr checks that all that was answered is one err line with this code.
func wantErr(t *testing.T, answered string, code chat.Code) (sentence string) {
	t.Helper()
	line := errLine.FindStringSubmatch(answered)
	if line == nil || line[1] != string(code) {
		t.Fatalf("answered %q, want one err line with code %s", answered, code)
	}
	return line[2]
}

func TestRequestIsAnsweredWithItsPlace(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	last := chat.MessageID("")
	for _, text := range []string{"hello", "a:b\nc::\r\n", "\xff\x01", ""} {
		answered := n.ask(t, "wrmsg:alice:secret:%:"+text)
		line := okLine.FindStringSubmatch(answered)
		if line == nil {
			t.Fatalf("%q is answered %q", text, answered)
		}
		got := receive(t, "the message", n.requests)
		m := got.message
		if string(m.Text) != text || m.User != "alice" || m.To != chat.Everyone || m.Password.Reveal() != "secret" {
			t.Errorf("handed on %+v, want the text %q", m, text)
		}
		if string(m.ID) != line[1] || m.ID <= last {
			t.Errorf("the id %s is answered as %s, and the one before was %s", m.ID, line[1], last)
		}
		last = m.ID
	}
	n.wantSends(t, "ok", 4)
}

func TestRequestComesWithItsClientsAddress(t *testing.T) {
	for _, tc := range []struct {
		name, listen string
		client       netip.Addr
	}{
		{"to one address", "127.0.0.1:0", netip.MustParseAddr("127.0.0.1")},
		{"from IPv4 to any address", "[::]:0", netip.MustParseAddr("127.0.0.1")},
		{"from IPv4 to a port alone", ":0", netip.MustParseAddr("127.0.0.1")},
		{"from IPv6", "[::1]:0", netip.IPv6Loopback()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.HasPrefix(tc.listen, "[") {
				needIPv6(t)
			}
			n := serve(t, newHandler(), edge.Config{TCP: tc.listen})
			n.ask(t, hello)
			if client := receive(t, "the message", n.requests).client; client != tc.client {
				t.Errorf("the client is %v, want %v", client, tc.client)
			}
		})
	}
}

func TestHandlersErrorIsAnswered(t *testing.T) {
	noUser := chat.Errorf(chat.CodeNoUser, "there is no user bob")
	for _, tc := range []struct {
		name     string
		err      error
		code     chat.Code
		sentence string
	}{
		{"an answer", noUser, chat.CodeNoUser, "there is no user bob"},
		{"an answer inside another error", fmt.Errorf("asking the shard: %w", noUser), chat.CodeNoUser, "there is no user bob"},
		{"an error without an answer", errors.New("the moon is full"), chat.CodeUnknown, "the outcome is not known; send again with the same id"},
		{"an answer of two lines", chat.Errorf(chat.CodeBusy, "first\nsecond"), chat.CodeBusy, "first second"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHandler()
			h.send = func(context.Context) (chat.Seq, error) { return 0, tc.err }
			n := serve(t, h, edge.Config{})
			if got := wantErr(t, n.ask(t, hello), tc.code); got != tc.sentence {
				t.Errorf("the sentence is %q", got)
			}
			n.wantSends(t, string(tc.code), 1)
		})
	}
}

func TestBadRequestIsAnsweredWithOneErrLine(t *testing.T) {
	for _, tc := range []struct {
		name, request string
		code          chat.Code
	}{
		{"an unknown verb", "hello:alice:secret:bob:hi", chat.CodeBadReq},
		{"another protocol", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", chat.CodeBadReq},
		{"bytes", "\x16\x03\x01\x00\xff", chat.CodeBadReq},
		{"no verb", ":alice:secret:bob:hi", chat.CodeBadReq},
		{"half a verb", "wrm", chat.CodeBadReq},
		{"a poll", "poll:alice:secret:4391", chat.CodeBadReq},
		{"no field", "wrmsg:", chat.CodeBadReq},
		{"a field missing", "wrmsg:alice:secret:bob", chat.CodeBadReq},
		{"an empty userid", "wrmsg::secret:bob:hi", chat.CodeBadReq},
		{"an empty recipient", "wrmsg:alice:secret::hi", chat.CodeBadReq},
		{"a userid of %", "wrmsg:%:secret:bob:hi", chat.CodeBadReq},
		{"a ; in the userid", "wrmsg:al;ice:secret:bob:hi", chat.CodeBadReq},
		{"a # in the userid", "wrmsg:al#ice:secret:bob:hi", chat.CodeBadReq},
		{"a newline in the userid", "wrmsg:al\nice:secret:bob:hi", chat.CodeBadReq},
		{"a space before the userid", "wrmsg: alice:secret:bob:hi", chat.CodeBadReq},
		{"a userid that is not UTF-8", "wrmsg:al\xffice:secret:bob:hi", chat.CodeBadReq},
		{"a % in the recipient", "wrmsg:alice:secret:b%b:hi", chat.CodeBadReq},
		{"a control character in the password", "wrmsg:alice:sec\x1bret:bob:hi", chat.CodeBadReq},
		{"a NUL in the text", "wrmsg:alice:secret:bob:h\x00i", chat.CodeBadReq},
		{"a userid of 65 bytes", "wrmsg:" + strings.Repeat("a", 65) + ":secret:bob:hi", chat.CodeTooLarge},
		{"a recipient of 65 bytes", "wrmsg:alice:secret:" + strings.Repeat("b", 65) + ":hi", chat.CodeTooLarge},
		{"a password of 129 bytes", "wrmsg:alice:" + strings.Repeat("p", 129) + ":bob:hi", chat.CodeTooLarge},
		{"a text of 4001 bytes", "wrmsg:alice:secret:bob:" + strings.Repeat("t", 4001), chat.CodeTooLarge},
		{"fields without end", "wrmsg:" + strings.Repeat("a", 2000), chat.CodeTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			if sentence := wantErr(t, n.ask(t, tc.request), tc.code); strings.Contains(sentence, "secret") {
				t.Errorf("the sentence tells the password: %s", sentence)
			}
			wantNone(t, "a message", n.requests)
			n.wantSends(t, string(tc.code), 1)
		})
	}
}

func TestLimitOfTextIsASetting(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{MaxText: 10})
	if answered := n.ask(t, "wrmsg:alice:secret:bob:0123456789"); !okLine.MatchString(answered) {
		t.Errorf("10 bytes are answered %q", answered)
	}
	wantErr(t, n.ask(t, "wrmsg:alice:secret:bob:0123456789a"), chat.CodeTooLarge)
}

// A connection that is closed while input is unread is reset, and the reset could take the answer with it.
func TestRefusalReachesAClientThatIsStillSending(t *testing.T) {
	t.Run("60 KiB over the limit, before it reads", func(t *testing.T) {
		n := serve(t, newHandler(), edge.Config{})
		wantErr(t, n.ask(t, hello+strings.Repeat("t", 4000+60<<10)), chat.CodeTooLarge)
	})
	t.Run("without end", func(t *testing.T) {
		n := serve(t, newHandler(), edge.Config{})
		conn := n.dial(t)
		sent := make(chan int64)
		go func() {
			bytes, _ := io.Copy(conn, io.MultiReader(strings.NewReader(hello), endless{}))
			sent <- bytes
		}()
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatalf("instead of an answer: %q, %v", line, err)
		}
		wantErr(t, line, chat.CodeTooLarge)
		if bytes := receive(t, "the end of the connection", sent); bytes <= 64<<10 {
			t.Errorf("only %d bytes were taken", bytes)
		}
	})
}

// endless is a text without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 't'
	}
	return len(b), nil
}

func TestConnectionThatSendsNothingIsEndedAfter5s(t *testing.T) {
	t.Parallel()
	n := serve(t, newHandler(), edge.Config{})
	cases := []struct{ name, sent string }{
		{"not a byte", ""},
		{"half a verb", "wrm"},
		{"half the fields", "wrmsg:alice:sec"},
		{"half a text", "wrmsg:alice:secret:bob:hel"},
	}
	start := time.Now()
	var conns []net.Conn // all wait at the same time
	for _, tc := range cases {
		conn := n.dial(t)
		if _, err := io.WriteString(conn, tc.sent); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			wantErr(t, answer(t, conns[i]), chat.CodeBadReq)
			if after := time.Since(start); after < 5*time.Second || after > 8*time.Second {
				t.Errorf("answered after %v", after)
			}
		})
	}
	wantNone(t, "a message", n.requests)
}

func TestEmptyConnectionIsNotAnswered(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	if answered := n.ask(t, ""); answered != "" {
		t.Errorf("answered %q", answered)
	}
	n.dial(t).Close()
	if answered := n.ask(t, hello); !okLine.MatchString(answered) {
		t.Errorf("the next is answered %q", answered)
	}
}

func TestConnectionBeyondTheBoundIsAnsweredBusy(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{MaxConns: 1})
	first := n.dial(t)
	wantErr(t, n.ask(t, hello+strings.Repeat("t", 3000)), chat.CodeBusy)
	wantNone(t, "a message", n.requests)
	n.wantSends(t, "busy", 1)

	finish(t, first, hello)
	if answered := answer(t, first); !okLine.MatchString(answered) {
		t.Errorf("the connection within the bound is answered %q", answered)
	}
	eventually(t, "the next is served", func() bool { return okLine.MatchString(n.ask(t, hello)) })
}

// Telling a client that it is one too many holds a connection for up to a second, so that has a bound too.
func TestConnectionsFarBeyondTheBoundAreCountedAndDropped(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{MaxConns: 1})
	first := n.dial(t)
	eventually(t, "a connection is dropped", func() bool {
		n.dial(t) // and says nothing, and does not leave
		return n.drops("conn_busy") > 0
	})
	finish(t, first, hello)
	if answered := answer(t, first); !okLine.MatchString(answered) {
		t.Errorf("the connection within the bound is answered %q", answered)
	}
}

// Clients of the first generation never read the answer, and may be gone by then.
func TestClientMayBeGoneBeforeTheAnswer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		reset bool
	}{{"closed", false}, {"reset", true}} {
		t.Run(tc.name, func(t *testing.T) {
			gone := make(chan struct{})
			h := newHandler()
			h.send = func(context.Context) (chat.Seq, error) { <-gone; return 7, nil }
			n := serve(t, h, edge.Config{})
			conn := n.dial(t)
			finish(t, conn, hello)
			receive(t, "the message", n.requests)
			if tc.reset {
				conn.SetLinger(0)
			}
			conn.Close()
			close(gone)
			if answered := n.ask(t, hello); !okLine.MatchString(answered) {
				t.Errorf("the next is answered %q", answered)
			}
			n.wantSends(t, "ok", 2)
		})
	}
}
