package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"multichat/internal/chat"
)

var (
	secret = chat.NewSecret("secret")
	noon   = time.Unix(1700000000, 0)
	id64   = strings.Repeat("i", 64)
	login  = Login{User: "alice", Password: secret, Device: DefaultDevice}
)

type goodFrame struct {
	name, in string
	want     Frame
}

// framesInTheirForm are frames as this package writes them.
var framesInTheirForm = []goodFrame{
	{
		"a login", "poll;v=2;id=r1;dev=phone:alice:secret:0\n",
		Login{ID: "r1", User: "alice", Password: secret, Device: "phone"},
	},
	{
		"a login that only sends", "poll;v=2;id=r1;dev=default;push=0:alice:secret:0\n",
		Login{ID: "r1", User: "alice", Password: secret, Device: DefaultDevice, SendOnly: true},
	},
	{
		"a login without a password", "poll;v=2;dev=default:alice::0\n",
		Login{User: "alice", Device: DefaultDevice},
	},
	{
		"a login with the longest of everything",
		"poll;v=2;id=" + id64 + ";dev=" + id64 + ":" + id64 + ":" + id64 + id64 + ":0\n",
		Login{
			ID: chat.MessageID(id64), User: chat.UserID(id64), Password: chat.NewSecret(id64 + id64), Device: chat.DeviceID(id64),
		},
	},
	{
		"a send", "wrmsg;id=m1;len=5:::bob:hello\n",
		Wrmsg{ID: "m1", To: "bob", Text: []byte("hello")},
	},
	{
		"a send to everyone", "wrmsg;id=m1;len=5:::%:hello\n",
		Wrmsg{ID: "m1", To: "%", Text: []byte("hello")},
	},
	{
		"a send with its credentials", "wrmsg;id=m1;len=5:alice:secret:bob:hello\n",
		Wrmsg{ID: "m1", User: "alice", Password: secret, To: "bob", Text: []byte("hello")},
	},
	{
		"a send of a user without a password", "wrmsg;id=m1;len=5:alice::bob:hello\n",
		Wrmsg{ID: "m1", User: "alice", To: "bob", Text: []byte("hello")},
	},
	{
		"an empty text", "wrmsg;id=m1;len=0:::bob:\n",
		Wrmsg{ID: "m1", To: "bob", Text: []byte{}},
	},
	{
		"a text of anything but NUL", "wrmsg;id=m1;len=18:::bob:a:b;c\n\r\nbye\n\xff\x01…\n\n",
		Wrmsg{ID: "m1", To: "bob", Text: []byte("a:b;c\n\r\nbye\n\xff\x01…\n")},
	},
	{
		"a text of 100 bytes", "wrmsg;id=m1;len=100:::bob:" + strings.Repeat("x", 100) + "\n",
		Wrmsg{ID: "m1", To: "bob", Text: bytes.Repeat([]byte("x"), 100)},
	},
	{"an ack", "ack:bob:7169\n", Ack{Mailbox: "bob", Seq: 7169}},
	{"an ack that wants an answer", "ack;id=r1:%:7169\n", Ack{ID: "r1", Mailbox: "%", Seq: 7169}},
	{"an ack of nothing", "ack:bob:0\n", Ack{Mailbox: "bob"}},
	{"an ack of the largest seq", "ack:bob:9223372036854775807\n", Ack{Mailbox: "bob", Seq: 1<<63 - 1}},
	{"a ping", "ping;id=r1\n", Ping{ID: "r1"}},
	{"a ping without an id", "ping\n", Ping{}},
	{"a pong", "pong;id=r1\n", Pong{ID: "r1"}},
	{"a pong without an id", "pong\n", Pong{}},
	{"a bye", "bye\n", Bye{}},
	{"stored", "ok;id=m1;seq=7169\n", Reply{ID: "m1", Seq: 7169}},
	{"done", "ok;id=r1\n", Reply{ID: "r1"}},
	{"refused", "err;id=m1:nouser:no user bob\n", Reply{ID: "m1", Err: chat.Errorf(chat.CodeNoUser, "no user bob")}},
	{"refused without an id", "err:badreq:a: b\n", Reply{Err: chat.Errorf(chat.CodeBadReq, "a: b")}},
	{
		"a message", "newmsg;id=m1;to=bob;seq=7169;len=4:1700000000:Alice A:alice:a\nb:\n",
		Newmsg{chat.Message{
			Seq: 7169, ID: "m1", From: "alice", FromName: "Alice A", To: "bob", Text: []byte("a\nb:"), Sent: noon,
		}},
	},
	{
		"a message to everyone", "newmsg;id=m1;to=%;seq=7169;len=0:1700000000:Alice A:alice:\n",
		Newmsg{chat.Message{Seq: 7169, ID: "m1", From: "alice", FromName: "Alice A", To: "%", Text: []byte{}, Sent: noon}},
	},
	{
		"a message with the longest of everything",
		"newmsg;id=" + id64 + ";to=" + id64 + ";seq=9223372036854775807;len=2:253402300799:" + id64 + ":" + id64 + ":hi\n",
		Newmsg{chat.Message{
			Seq: 1<<63 - 1, ID: chat.MessageID(id64), From: chat.UserID(id64), FromName: id64, To: chat.Mailbox(id64),
			Text: []byte("hi"), Sent: time.Unix(maxTimestamp, 0),
		}},
	},
}

// framesOfOthers are frames as others may write them.
var framesOfOthers = []goodFrame{
	{"a login with what is needed only", "poll;v=2:alice:secret:0\n", login},
	{"a login that says that it reads", "poll;v=2;push=1:alice:secret:0\n", login},
	{"a port in five digits", "poll;v=2:alice:secret:00000\n", login},
	{
		"attributes in another order", "poll;dev=tv;id=r1;v=2:alice:secret:0\n",
		Login{ID: "r1", User: "alice", Password: secret, Device: "tv"},
	},
	{"attributes of the future", "wrmsg;ttl=5;len=2;id=m1;x=y:::bob:hi\n", Wrmsg{ID: "m1", To: "bob", Text: []byte("hi")}},
	{"a len with zeros", "wrmsg;id=m1;len=0002:::bob:hi\n", Wrmsg{ID: "m1", To: "bob", Text: []byte("hi")}},
	{"a carriage return before the newline", "ack:bob:7\r\n", Ack{Mailbox: "bob", Seq: 7}},
	{"one after a verb alone", "bye\r\n", Bye{}},
	{"one after attributes", "ping;id=r1\r\n", Ping{ID: "r1"}},
	{"fields where there are none", "ping;id=r1:a:b\n", Ping{ID: "r1"}},
	{"an ok with a field", "ok;id=r1:fine\n", Reply{ID: "r1"}},
	{"a seq with zeros", "ack:bob:007\n", Ack{Mailbox: "bob", Seq: 7}},
}

func goodFrames() []goodFrame { return slices.Concat(framesInTheirForm, framesOfOthers) }

// frames reads every frame of r, with 100 bytes of text at most, and the error that ends them.
func frames(r io.Reader) ([]Frame, error) {
	var all []Frame
	for in := bufio.NewReaderSize(r, MaxHeader); ; {
		f, err := ReadFrame(in, Limits{MaxText: 100})
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
}

// sameFrame compares passwords by what they are.
func sameFrame(a, b Frame) bool {
	switch x := a.(type) {
	case Login:
		y, ok := b.(Login)
		ok = ok && x.Password.Equal(y.Password)
		y.Password = x.Password
		return ok && x == y
	case Wrmsg:
		y, ok := b.(Wrmsg)
		ok = ok && x.Password.Equal(y.Password)
		y.Password = x.Password
		return ok && reflect.DeepEqual(x, y)
	}
	return reflect.DeepEqual(a, b)
}

func TestReadFrame(t *testing.T) {
	for _, tc := range goodFrames() {
		t.Run(tc.name, func(t *testing.T) {
			for kind, r := range map[string]io.Reader{
				"at once":         strings.NewReader(tc.in + tc.in),
				"a byte a time":   iotest.OneByteReader(strings.NewReader(tc.in + tc.in)),
				"EOF with a byte": iotest.DataErrReader(strings.NewReader(tc.in + tc.in)),
			} {
				got, err := frames(r)
				if err != io.EOF || len(got) != 2 || !sameFrame(got[0], tc.want) || !sameFrame(got[1], tc.want) {
					t.Errorf("%s: got %+v, %v; want %+v twice", kind, got, err, tc.want)
				}
			}
		})
	}
}

func TestReadFrameWaitsForNothingBeyondTheFrame(t *testing.T) {
	for _, tc := range goodFrames() {
		if _, err := ReadFrame(bufio.NewReader(nothingMore(tc.in)), Limits{}); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// What has a bad content but a known end is refused by itself, and the next frame is read.
func TestReadFrameRefusesOneFrame(t *testing.T) {
	hundred, mega := strings.Repeat("x", 100), strings.Repeat("x", 1<<20)
	for _, tc := range []struct {
		name, in string
		id       chat.MessageID
		code     chat.Code
	}{
		{"an unknown verb", "hello;id=r1:alice\n", "r1", chat.CodeBadReq},
		{"an unknown verb alone", "hello\n", "", chat.CodeBadReq},

		{"a poll of version 1", "poll:alice:secret:10001\n", "", chat.CodeBadReq},
		{"a login without a version", "poll;id=r1:alice:secret:0\n", "r1", chat.CodeBadReq},
		{"a login of another version", "poll;v=3;id=r1:alice:secret:0\n", "r1", chat.CodeBadReq},
		{"a login that listens elsewhere", "poll;v=2;id=r1:alice:secret:10001\n", "r1", chat.CodeBadReq},
		{"a login without a port", "poll;v=2;id=r1:alice:secret\n", "r1", chat.CodeBadReq},
		{"a login with an empty port", "poll;v=2;id=r1:alice:secret:\n", "r1", chat.CodeBadReq},
		{"a login with a field too many", "poll;v=2;id=r1:alice:secret:0:0\n", "r1", chat.CodeBadReq},
		{"a login without fields", "poll;v=2;id=r1\n", "r1", chat.CodeBadReq},
		{"a login with another push", "poll;v=2;id=r1;push=no:alice:secret:0\n", "r1", chat.CodeBadReq},
		{"a login without a userid", "poll;v=2;id=r1::secret:0\n", "r1", chat.CodeBadReq},
		{"a login with a forbidden userid", "poll;v=2;id=r1:%:secret:0\n", "r1", chat.CodeBadReq},
		{"a login with a userid over its limit", "poll;v=2;id=r1:" + id64 + "i:secret:0\n", "r1", chat.CodeTooLarge},
		{"a login with a control character in its password", "poll;v=2;id=r1:alice:sec\x00ret:0\n", "r1", chat.CodeBadReq},
		{"a login with a password over its limit", "poll;v=2;id=r1:alice:" + id64 + id64 + "p:0\n", "r1", chat.CodeTooLarge},

		{"a send without an id", "wrmsg;len=5:::bob:hello\n", "", chat.CodeBadReq},
		{"a send with a password alone", "wrmsg;id=m1;len=5::secret:bob:hello\n", "m1", chat.CodeBadReq},
		{"a send with a forbidden userid", "wrmsg;id=m1;len=5:%:secret:bob:hello\n", "m1", chat.CodeBadReq},
		{"a send with a password over its limit", "wrmsg;id=m1;len=1:alice:" + id64 + id64 + "p:bob:x\n", "m1", chat.CodeTooLarge},
		{"a send to nobody", "wrmsg;id=m1;len=5::::hello\n", "m1", chat.CodeBadReq},
		{"a send to a forbidden mailbox", "wrmsg;id=m1;len=5:::%%:hello\n", "m1", chat.CodeBadReq},
		{"NUL in the text", "wrmsg;id=m1;len=5:::bob:he\x00lo\n", "m1", chat.CodeBadReq},
		{"a text over its limit", "wrmsg;id=m1;len=101:::bob:" + hundred + "x\n", "m1", chat.CodeTooLarge},
		{"a text of 1 MiB", "wrmsg;id=m1;len=1048576:::bob:" + mega + "\n", "m1", chat.CodeTooLarge},
		{"a long text without an id", "wrmsg;len=101:::bob:" + hundred + "x\n", "", chat.CodeBadReq},

		{"an ack without fields", "ack\n", "", chat.CodeBadReq},
		{"an ack without a seq", "ack;id=r1:bob\n", "r1", chat.CodeBadReq},
		{"an ack with an empty seq", "ack;id=r1:bob:\n", "r1", chat.CodeBadReq},
		{"an ack with a field too many", "ack;id=r1:bob:7:8\n", "r1", chat.CodeBadReq},
		{"an ack of a seq with a sign", "ack;id=r1:bob:+7\n", "r1", chat.CodeBadReq},
		{"an ack of a seq of 64 bits", "ack;id=r1:bob:9223372036854775808\n", "r1", chat.CodeBadReq},
		{"an ack of no mailbox", "ack;id=r1::7\n", "r1", chat.CodeBadReq},
		{"an ack of a forbidden mailbox", "ack;id=r1:a%:7\n", "r1", chat.CodeBadReq},
		{"two carriage returns", "ack;id=r1:bob:7\r\r\n", "r1", chat.CodeBadReq},

		{"an err without a sentence", "err;id=m1:busy\n", "m1", chat.CodeBadReq},
		{"an ok with a seq that is none", "ok;id=m1;seq=x\n", "m1", chat.CodeBadReq},

		{"a message without an id", "newmsg;to=bob;seq=7;len=2:1:A:alice:hi\n", "", chat.CodeBadReq},
		{"a message without a mailbox", "newmsg;id=m1;seq=7;len=2:1:A:alice:hi\n", "m1", chat.CodeBadReq},
		{"a message without a seq", "newmsg;id=m1;to=bob;len=2:1:A:alice:hi\n", "m1", chat.CodeBadReq},
		{"a message with the seq before all", "newmsg;id=m1;to=bob;seq=0;len=2:1:A:alice:hi\n", "m1", chat.CodeBadReq},
		{"a message at no time", "newmsg;id=m1;to=bob;seq=7;len=2:now:A:alice:hi\n", "m1", chat.CodeBadReq},
		{"a message of a forbidden name", "newmsg;id=m1;to=bob;seq=7;len=2:1:A\x1b[2J:alice:hi\n", "m1", chat.CodeBadReq},
		{"a message of a forbidden userid", "newmsg;id=m1;to=bob;seq=7;len=2:1:A:%:hi\n", "m1", chat.CodeBadReq},
		{"a message over the limit", "newmsg;id=m1;to=bob;seq=7;len=101:1:A:alice:" + hundred + "x\n", "m1", chat.CodeTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			next := Ping{ID: "next"}
			got, err := frames(io.MultiReader(strings.NewReader(tc.in), bytes.NewReader(AppendPing(nil, next.ID))))
			if err != io.EOF || len(got) != 2 || got[1] != next {
				t.Fatalf("got %+v, %v; want a refusal and the next frame", got, err)
			}
			refused, ok := got[0].(Malformed)
			if !ok || refused.ID != tc.id || refused.Err.Code != tc.code {
				t.Fatalf("got %+v, want %s for %q", got[0], tc.code, tc.id)
			}
			if strings.Contains(refused.Err.Error(), secret.Reveal()) {
				t.Errorf("the password is told: %v", refused.Err)
			}
		})
	}
}

// Where the next frame begins is not known, so the stream ends. That is told without waiting for more.
func TestReadFrameEndsTheStream(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		code     chat.Code
	}{
		{"a send of version 1", "wrmsg:alice:secret:bob:", chat.CodeBadReq},
		{"a message of version 1", "newmsg:1700000000:Alice A:alice:", chat.CodeBadReq},
		{"a send without a len", "wrmsg;id=m1:::bob:", chat.CodeBadReq},
		{"a message without a len", "newmsg;id=m1;to=bob;seq=7:1:A:alice:", chat.CodeBadReq},
		{"a len that is no number", "wrmsg;id=m1;len=five:::bob:", chat.CodeBadReq},
		{"a len with a sign", "wrmsg;id=m1;len=+5:::bob:", chat.CodeBadReq},
		{"a len over 1 MiB", "wrmsg;id=m1;len=1048577:::bob:", chat.CodeTooLarge},
		{"a len over all numbers", "wrmsg;id=m1;len=" + strings.Repeat("9", 60) + ":::bob:", chat.CodeTooLarge},
		{"a send that ends early", "wrmsg;id=m1;len=5:::bob\n", chat.CodeBadReq},
		{"a send that ends with its verb", "wrmsg\n", chat.CodeBadReq},
		{"a send that ends with its attributes", "wrmsg;id=m1;len=5\n", chat.CodeBadReq},
		{"a message that ends early", "newmsg;id=m1;to=bob;seq=7;len=2:1:A\n", chat.CodeBadReq},
		{"a text that is longer", "wrmsg;id=m1;len=4:::bob:hello", chat.CodeBadReq},
		{"a text that is longer and refused", "wrmsg;len=4:::bob:hello", chat.CodeBadReq},
		{"a carriage return after a text", "wrmsg;id=m1;len=5:::bob:hello\r", chat.CodeBadReq},
		{"a len in a frame without a text", "ping;len=5\n", chat.CodeBadReq},
		{"a len in an unknown frame", "file;id=r1;len=5:a:b\n", chat.CodeBadReq},
		{"a len twice", "wrmsg;id=m1;len=5;len=6:::bob:", chat.CodeBadReq},
		{"an attribute without a value", "wrmsg;id;len=5:::bob:", chat.CodeBadReq},
		{"an id over its limit", "wrmsg;id=" + id64 + "i;len=5:::bob:", chat.CodeBadReq},
		{"17 attributes", "ping" + attrs(17) + "\n", chat.CodeBadReq},
		{"an empty line", "\n", chat.CodeBadReq},
		{"no verb", ":alice\n", chat.CodeBadReq},
		{"another protocol", "GET / HTTP/1.1\r\n", chat.CodeBadReq},
		{"a line without an end", "ping:" + strings.Repeat("x", MaxHeader-5), chat.CodeTooLarge},
		{"a header without an end", "wrmsg;id=m1;len=5:" + strings.Repeat("x", MaxHeader-18), chat.CodeTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for kind, r := range map[string]io.Reader{
				"at once":       io.MultiReader(strings.NewReader(tc.in), iotest.ErrReader(errors.New("was read on"))),
				"a byte a time": nothingMore(tc.in),
			} {
				got, err := frames(r)
				if len(got) != 0 {
					t.Errorf("%s: got %+v", kind, got)
				}
				wantCode(t, err, tc.code)
				if strings.Contains(err.Error(), secret.Reveal()) {
					t.Errorf("the password is told: %v", err)
				}
			}
		})
	}
}

func TestReadFrameNamesTheVersionItDoesNotServe(t *testing.T) {
	f, err := ReadFrame(bufio.NewReader(strings.NewReader("poll;v=3:alice:secret:0\n")), Limits{})
	if err != nil || !strings.Contains(f.(Malformed).Err.Reason, "version 3 ") {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestAHeaderOfTheLargestSize(t *testing.T) {
	line := "ping:" + strings.Repeat("x", MaxHeader-len("ping:\n")) + "\n"
	head := "wrmsg;id=m1;len=2:::"
	head += strings.Repeat("x", MaxHeader-len(head)-1) + ":"
	got, err := frames(iotest.OneByteReader(strings.NewReader(line + head + "hi\n" + line)))
	if err != io.EOF || len(got) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, ok := got[1].(Malformed); !ok || got[0] != (Ping{}) || got[2] != (Ping{}) {
		t.Errorf("got %+v", got)
	}
}

func TestAFrameCutOffIsNone(t *testing.T) {
	for _, tc := range goodFrames() {
		for n := range len(tc.in) {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			got, err := frames(strings.NewReader(tc.in[:n]))
			if len(got) != 0 || !errors.Is(err, want) {
				t.Errorf("%q: got %+v, %v; want %v", tc.in[:n], got, err, want)
			}
			if e, ok := errors.AsType[*chat.Error](err); ok {
				t.Errorf("%q: %v would be answered", tc.in[:n], e)
			}
		}
	}
	// So it is with a text that is passed over.
	got, err := frames(strings.NewReader("wrmsg;id=m1;len=101:::bob:xxx"))
	if len(got) != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReadFramePassesFailuresOn(t *testing.T) {
	in := "wrmsg;id=m1;len=5:alice:secret:bob:hello\n"
	for n := range len(in) {
		_, err := frames(io.MultiReader(strings.NewReader(in[:n]), iotest.ErrReader(os.ErrDeadlineExceeded)))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q: got %v, want the reader's own error", in[:n], err)
		}
	}
}

// generous is a reader that sees how much room it is given before the bytes are there.
type generous struct {
	*strings.Reader
	t    *testing.T
	done int
}

func (g *generous) Read(p []byte) (int, error) {
	if len(p) > g.done+firstRoom {
		g.t.Errorf("room for %d bytes when %d had come", len(p), g.done)
	}
	n, err := g.Reader.Read(p[:min(len(p), 100)])
	g.done += n
	return n, err
}

func TestATextIsGivenRoomAsItComes(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", chat.MaxText/16)
	source := &generous{Reader: strings.NewReader(fmt.Sprintf("wrmsg;id=m1;len=%d:::bob:%s\n", len(text), text)), t: t}
	f, err := ReadFrame(bufio.NewReader(source), Limits{MaxText: chat.MaxText})
	if err != nil {
		t.Fatal(err)
	}
	if m := f.(Wrmsg); string(m.Text) != text || cap(m.Text) != len(text) {
		t.Errorf("the text of %d bytes has another content or takes %d", len(m.Text), cap(m.Text))
	}
}

func TestTheUsualLimitOfAText(t *testing.T) {
	for n, fits := range map[int]bool{chat.DefaultMaxText: true, chat.DefaultMaxText + 1: false} {
		in := AppendSend(nil, Wrmsg{ID: "m1", To: "bob", Text: bytes.Repeat([]byte("x"), n)})
		f, err := ReadFrame(bufio.NewReader(bytes.NewReader(in)), Limits{})
		if _, ok := f.(Wrmsg); err != nil || ok != fits {
			t.Errorf("%d bytes: got %+v, %v", n, f, err)
		}
	}
}

// Whatever is there and wherever the reader fails, a ping that was not read whole is still to be read.
func TestReadPingTakesAPingOrNothing(t *testing.T) {
	failed := errors.New("for now")
	for _, tc := range goodFrames() {
		for n := range len(tc.in) + 1 {
			r := bufio.NewReader(io.MultiReader(strings.NewReader(tc.in[:n]), &failsOnce{err: failed}, strings.NewReader(tc.in[n:])))
			ping, isPing := tc.want.(Ping)
			id, err := ReadPing(r)
			switch whole := isPing && n == len(tc.in); {
			case whole:
				if err != nil || id != ping.ID {
					t.Errorf("%q: got %q, %v", tc.in, id, err)
				}
				continue
			case n < len("ping") || isPing:
				if !errors.Is(err, failed) {
					t.Errorf("%q, of which %d bytes were there: got %q, %v", tc.in, n, id, err)
				}
			case err != ErrNoPing:
				t.Errorf("%q: got %q, %v", tc.in, id, err)
			}
			if got, err := readOn(r, failed); err != nil || !sameFrame(got, tc.want) {
				t.Errorf("%q, of which %d bytes were there: then came %+v, %v", tc.in, n, got, err)
			}
		}
	}
	for _, in := range []string{"ping;id=\n", "ping;len=1\n", "ping;;\n", "pingpong\n"} {
		r := bufio.NewReader(strings.NewReader(in))
		if id, err := ReadPing(r); err != ErrNoPing || r.Buffered() != len(in) {
			t.Errorf("%q: got %q, %v, and %d bytes are left", in, id, err, r.Buffered())
		}
	}
}

// readOn reads a frame from a reader that may fail once with an error before anything of the frame is lost.
func readOn(r *bufio.Reader, failed error) (Frame, error) {
	if _, err := r.Peek(r.Buffered() + 1); err != nil && err != failed && err != io.EOF {
		return nil, err
	}
	return ReadFrame(r, Limits{})
}

// failsOnce is a reader that fails, and is empty then.
type failsOnce struct{ err error }

func (f *failsOnce) Read([]byte) (int, error) {
	err := f.err
	f.err = io.EOF
	return 0, err
}

// A frame does not change when the reader's buffer is used again.
func TestFramesAreCopies(t *testing.T) {
	for _, tc := range goodFrames() {
		r := bufio.NewReaderSize(strings.NewReader(tc.in+strings.Repeat("ping\n", MaxHeader)), MaxHeader)
		got, err := ReadFrame(r, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = ReadFrame(r, Limits{})
		}
		if !sameFrame(got, tc.want) {
			t.Errorf("%s: it has become %+v", tc.name, got)
		}
	}
}

func TestReadFrameNeedsABufferForAHeader(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a buffer that is too small was taken")
		}
	}()
	ReadFrame(bufio.NewReaderSize(strings.NewReader("bye\n"), MaxHeader-1), Limits{})
}

// appendFrame is nil for a Malformed, which nobody sends.
func appendFrame(f Frame) []byte {
	switch f := f.(type) {
	case Login:
		return AppendLogin(nil, f)
	case Wrmsg:
		return AppendSend(nil, f)
	case Ack:
		return AppendAck(nil, f)
	case Ping:
		return AppendPing(nil, f.ID)
	case Pong:
		return AppendPong(nil, f.ID)
	case Bye:
		return AppendBye(nil)
	case Newmsg:
		return AppendMessage(nil, f.Message)
	case Reply:
		if f.Err != nil {
			return AppendErr(nil, f.ID, f.Err)
		}
		return AppendOK(nil, f.ID, f.Seq)
	}
	return nil
}

func FuzzReadFrame(f *testing.F) {
	for _, tc := range goodFrames() {
		f.Add([]byte(tc.in))
	}
	for _, seed := range []string{
		"wrmsg;id=1;len=2:::b:hi\nack:a:1\nbye\n", "wrmsg;len=2:::b:hi\nping\n",
		"wrmsg;id=1;len=101:::b:" + strings.Repeat("x", 101) + "\nping\n",
		"wrmsg;id=1;len=1:::b:\x00\n", "wrmsg:a:b:c:d", "file;len=3:a:b\nabc", "x\n\n", "poll;v=2;push=2:a:b:0\n", "ok;len=1\n",
		"newmsg;id=1;to=%;seq=0;len=0:0:a:b:\n", "wrmsg;id=1;len=1048577:::b:", "wrmsg;id=1;len=3:a\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		all, err := frames(bytes.NewReader(in))
		slow, slowErr := frames(iotest.OneByteReader(bytes.NewReader(in)))
		if err.Error() != slowErr.Error() || len(all) != len(slow) {
			t.Fatalf("%q: at once %d and %v, a byte a time %d and %v", in, len(all), err, len(slow), slowErr)
		}
		r := bufio.NewReader(bytes.NewReader(in))
		for i, frame := range all {
			if !sameFrame(frame, slow[i]) {
				t.Fatalf("%q: at once %+v, a byte a time %+v", in, frame, slow[i])
			}
			in = in[checkConsumed(t, r, in):]
			checkEncoding(t, frame)
		}
	})
}

// checkConsumed reads the frame that in begins with. It says how long that is, which is at least one byte, ends with a
// newline, and is not more than a frame may be.
func checkConsumed(t *testing.T, r *bufio.Reader, in []byte) int {
	source := bytes.NewReader(in)
	r.Reset(source)
	if _, err := ReadFrame(r, Limits{MaxText: 100}); err != nil {
		t.Fatalf("%q: from its beginning %v", in, err)
	}
	n := len(in) - source.Len() - r.Buffered()
	if n == 0 || in[n-1] != '\n' || n > MaxHeader+maxPassedOver+1 {
		t.Fatalf("%q: %d bytes were consumed", in, n)
	}
	return n
}

// checkEncoding encodes a frame and reads it again.
func checkEncoding(t *testing.T, frame Frame) {
	if refused, ok := frame.(Malformed); ok {
		if refused.Err == nil || refused.ID != "" && chat.CheckMessageID(refused.ID) != nil {
			t.Fatalf("%+v cannot be answered", refused)
		}
		return
	}
	again, err := frames(bytes.NewReader(appendFrame(frame)))
	if err != io.EOF || len(again) != 1 || !sameFrame(frame, again[0]) {
		t.Fatalf("%+v was encoded as %q: %+v, %v", frame, appendFrame(frame), again, err)
	}
}

func BenchmarkReadFrame(b *testing.B) {
	const id = "0190a6e2c8f1-1a2b3c4d"
	text := strings.Repeat("hello ", 20) + "\n"
	for name, in := range map[string]string{
		"ack":    "ack:alice:7169\n",
		"ackall": "ack:%:7169\n",
		"ping":   "ping;id=r1\n",
		"ok":     "ok;id=" + id + ";seq=7169\n",
		"wrmsg":  "wrmsg;id=" + id + ";len=120:::bob:" + text,
		"newmsg": "newmsg;id=" + id + ";to=bob;seq=7169;len=120:1700000000:Alice:alice:" + text,
	} {
		b.Run(name, func(b *testing.B) {
			source := strings.NewReader(in)
			r := bufio.NewReader(source)
			b.ReportAllocs()
			for b.Loop() {
				source.Reset(in)
				r.Reset(source)
				if _, err := ReadFrame(r, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
