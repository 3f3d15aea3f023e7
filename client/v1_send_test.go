package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

func TestSendReturnsWhereTheMessageIsStored(t *testing.T) {
	proxy := newPeer(t)
	requests := proxy.answer("ok;id=m1;seq=7169\n")
	result, err := newV1(t, proxy.address()).Send(testContext(t), "bob", []byte("a:b\nc"))
	if err != nil || result != (Result{ID: "m1", Seq: 7169}) {
		t.Errorf("got %+v, %v", result, err)
	}
	m := <-requests
	if m.User != "alice" || m.Password.Reveal() != "secret" || m.To != "bob" || string(m.Text) != "a:b\nc" {
		t.Errorf("the proxy read %+v", m)
	}
}

func TestSendAnswers(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		code       chat.Code
	}{
		{"a wrong password", "err;id=m1:auth:the password is wrong\n", chat.CodeAuth},
		{"no such user", "err;id=m1:nouser:there is no user bob\n", chat.CodeNoUser},
		{"an answer without an id", "err:busy:later\n", chat.CodeBusy},
		{"a code of the future", "err:teapot:short\n", "teapot"},
		{"no answer", "", chat.CodeUnknown},
		{"half an answer", "ok;id=m1;seq=71", chat.CodeUnknown},
		{"something else", "HTTP/1.1 400 Bad Request\r\n", chat.CodeUnknown},
		{"an answer without an end", strings.Repeat("x", 100000), chat.CodeUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			first, second := newPeer(t), newPeer(t)
			first.answer(tc.line)
			requests := second.answer("ok;id=m2;seq=1\n")
			_, err := newV1(t, first.address(), second.address()).Send(testContext(t), "bob", []byte("hello"))
			wantCode(t, err, tc.code)
			if errors.Is(err, ErrUnreachable) {
				t.Error("the proxy counts as unreachable")
			}
			if len(requests) != 0 {
				t.Error("what was handed to one proxy was sent to another")
			}
		})
	}
}

func TestSendTakesTheNextProxy(t *testing.T) {
	dead, alive := newPeer(t), newPeer(t)
	dead.tcp.Close()
	requests := alive.answer("ok;id=m1;seq=1\n")
	c := newV1(t, dead.address(), alive.address())
	var left []Event
	c.cfg.Notify = func(e Event) { left = append(left, e) }
	for range 2 {
		if _, err := c.Send(testContext(t), chat.Everyone, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		<-requests
	}
	if i := c.inUse.Load(); i != 1 {
		t.Errorf("proxy %d is in use", i)
	}
	if len(left) != 1 || left[0].Kind != Failed || left[0].Proxy != dead.address() || left[0].Err == nil {
		t.Errorf("told of %+v", left)
	}
}

func TestSendWithoutAnyProxy(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	a.tcp.Close()
	b.tcp.Close()
	_, err := newV1(t, a.address(), b.address()).Send(testContext(t), "bob", []byte("hello"))
	if !errors.Is(err, ErrUnreachable) {
		t.Fatalf("got %v, want ErrUnreachable", err)
	}
	for _, p := range []*peer{a, b} {
		if !strings.Contains(err.Error(), p.address().tcp()) {
			t.Errorf("%q does not name %v", err, p.address().tcp())
		}
	}
}

func TestSendAfterItsContext(t *testing.T) {
	proxy := newPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newV1(t, proxy.address()).Send(ctx, "bob", []byte("hello"))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestSendEndedWhileWaitingIsUnknown(t *testing.T) {
	proxy := newPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	proxy.serve(func(conn *net.TCPConn, _ wire.Wrmsg, _ error) {
		cancel()
		conn.Read(make([]byte, 1)) // until the client is gone
	})
	_, err := newV1(t, proxy.address()).Send(ctx, "bob", []byte("hello"))
	wantCode(t, err, chat.CodeUnknown)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not say that it was ended", err)
	}
}

func TestSendRefusesHereWhatNobodyWouldTake(t *testing.T) {
	c := newV1(t, Address{Host: "127.0.0.1", UDP: 1, TCP: 1})
	for _, tc := range []struct {
		to   chat.Mailbox
		text string
		code chat.Code
	}{
		{"", "hello", chat.CodeBadReq},
		{"a:b", "hello", chat.CodeBadReq},
		{"bob", "he\x00llo", chat.CodeBadReq},
		{"bob", strings.Repeat("x", chat.MaxText+1), chat.CodeTooLarge},
	} {
		_, err := c.Send(testContext(t), tc.to, []byte(tc.text))
		wantCode(t, err, tc.code)
	}
}

// pair is a connection whose client end cannot write much before the other reads.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	p := newPeer(t)
	conn, err := net.DialTCP("tcp", nil, p.tcp.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	if far, err = p.tcp.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	far.SetDeadline(time.Now().Add(patience))
	return conn, far
}

// manyBytes is more than the buffers between two sockets hold.
var manyBytes = []byte("wrmsg:alice:secret:bob:" + strings.Repeat("x", 64<<20))

// Where the text stands when the context ends must not look like its end.
func TestSendEndedHalfwaySendsNothing(t *testing.T) {
	near, far := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := exchange(ctx, near, manyBytes)
		ended <- err
	}()
	if _, err := io.ReadFull(far, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	wantCode(t, <-ended, chat.CodeUnknown)
	if _, err := io.Copy(io.Discard, far); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the other end read %v, want a reset", err)
	}
}

func TestSendReadsARefusalThatComesEarly(t *testing.T) {
	near, far := pair(t)
	ended := make(chan error, 1)
	go func() {
		_, err := exchange(testContext(t), near, manyBytes)
		ended <- err
	}()
	_, err := wire.ReadRequest(bufio.NewReader(far), wire.Limits{MaxText: 10})
	far.Write(wire.AppendErr(nil, "", chat.AsError(err)))
	far.CloseWrite()
	io.CopyN(io.Discard, far, 64<<10)
	far.Close()
	wantCode(t, <-ended, chat.CodeTooLarge)
}
