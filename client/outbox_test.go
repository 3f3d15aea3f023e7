package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

func TestRefusalsForGoodAreTold(t *testing.T) {
	for _, code := range []chat.Code{
		chat.CodeNoUser, chat.CodeConflict, chat.CodeTooLarge, chat.CodeBadReq, chat.CodeAuth, "teapot",
	} {
		proxy := newPeer(t)
		s := serve(t, nil, proxy.address())
		outcomes := make(chan outcome, 2)
		s.post(outcomes, "a", "b")
		f := proxy.accept()
		f.login()
		f.err(f.wantText("a"), code)
		f.ok(f.wantText("b"), 7) // the stream goes on
		o := <-outcomes
		wantCode(t, o.err, code)
		if o = <-outcomes; o.err != nil {
			t.Error(o.err)
		}
	}
}

func TestWhatMayPassIsSentAgain(t *testing.T) {
	for _, code := range []chat.Code{chat.CodeBusy, chat.CodeUnavail, chat.CodeUnknown} {
		t.Run(string(code), func(t *testing.T) {
			proxy := newPeer(t)
			s := serve(t, nil, proxy.address())
			outcomes := make(chan outcome, 9)
			s.post(outcomes, "a")
			f := proxy.accept()
			f.login()
			a := f.wantText("a")
			f.err(a, code)
			s.waitRefused(code)
			s.post(outcomes, "b", "c")
			again := f.wantText("a")
			if again.ID != a.ID {
				t.Errorf("the id was %s and is %s", a.ID, again.ID)
			}
			s.wantEvent(Connected, proxy)
			if e := s.wantEvent(Retried, proxy); e.Message != a.ID {
				t.Errorf("told of %+v, want that %s is sent again", e, a.ID)
			} else {
				wantCode(t, e.Err, code)
			}
			f.wantSilence() // those to the same recipient wait, so that they do not overtake it
			if err := s.Post("carol", []byte("to carol"), nil); err != nil {
				t.Fatal(err)
			}
			f.ok(f.wantText("to carol"), 1)
			f.ok(again, 2)
			f.ok(f.wantText("b"), 3)
			f.ok(f.wantText("c"), 4)
			for range 3 {
				if o := <-outcomes; o.err != nil {
					t.Error(o.err)
				}
			}
		})
	}
}

// The pauses, and how many are on their way to one recipient, as the outbox itself tells them.
func TestPausesGrowAndLanesOpen(t *testing.T) {
	o := newOutbox(func() {})
	now := time.Now()
	for i := range 20 {
		if _, err := o.add("bob", []byte(fmt.Sprint(i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	written := func() (sent []wire.Wrmsg) {
		t.Helper()
		b, _ := o.appendSends(nil, now)
		return decodeSends(t, b)
	}
	answer := func(m wire.Wrmsg, code chat.Code) {
		r := wire.Reply{ID: m.ID}
		if code != "" {
			r.Err = chat.Errorf(code, "so it is")
		}
		o.answer(r, now)
	}
	all := written()
	if len(all) != 20 {
		t.Fatalf("%d of 20 were written", len(all))
	}
	for _, m := range all {
		answer(m, chat.CodeBusy)
	}
	for _, pause := range []time.Duration{100, 200, 400, 800, 1600, 2000, 2000} {
		pause *= time.Millisecond
		if early := written(); len(early) != 0 {
			t.Fatalf("%d were written without a pause", len(early))
		}
		_, found := o.appendSends(nil, now)
		if d := found.again.Sub(now); d < pause/2 || d > pause {
			t.Errorf("the pause is %v, want half to all of %v", d, pause)
		}
		now = now.Add(pause)
		one := written()
		if len(one) != 1 || one[0].ID != all[0].ID {
			t.Fatalf("after the pause %d were written, want the first", len(one))
		}
		answer(one[0], chat.CodeBusy)
	}
	now = now.Add(longestRetryPause)
	width := 1
	for done := 0; done < 20; done += width {
		width = min(done+1, 20-done)
		sent := written()
		if len(sent) != width {
			t.Fatalf("after %d were stored, %d fly, want %d", done, len(sent), width)
		}
		for i, m := range sent {
			if m.ID != all[done+i].ID {
				t.Fatalf("number %d is %q", done+i, m.Text)
			}
			answer(m, "")
		}
	}
	if len(o.lanes) != 0 || len(o.byID) != 0 || o.bytes != 0 {
		t.Errorf("the empty outbox keeps %d lanes, %d ids, %d bytes", len(o.lanes), len(o.byID), o.bytes)
	}
}

func decodeSends(t *testing.T, b []byte) (sent []wire.Wrmsg) {
	t.Helper()
	near, far := newFarOf(t, b)
	defer near.Close()
	for range strings.Count(string(b), "wrmsg;") {
		sent = append(sent, frame[wire.Wrmsg](far))
	}
	return sent
}

func TestTheOutboxIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		n    int
	}{
		{"in messages", "", maxOutbox},
		{"in bytes", strings.Repeat("x", chat.MaxText), maxOutboxBytes / (chat.MaxText + frameRoom + len("bob"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy := newPeer(t)
			s := stream(t, nil, proxy.address())
			for range tc.n {
				if err := s.Post("bob", []byte(tc.text), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Post("bob", []byte(tc.text), nil); !errors.Is(err, ErrOutboxFull) {
				t.Errorf("one more: %v", err)
			}
			if _, err := s.Send(t.Context(), "bob", []byte(tc.text)); !errors.Is(err, ErrOutboxFull) {
				t.Errorf("one more: %v", err)
			}
			if n := s.Pending(); n != tc.n {
				t.Errorf("%d are pending, want %d", n, tc.n)
			}
			room := make(chan error, 1)
			go func() { room <- s.Room(testContext(t)) }()
			s.start()
			f := proxy.accept()
			f.login()
			var last wire.Wrmsg
			for range tc.n {
				last = frame[wire.Wrmsg](f)
			}
			f.ok(last, 1)
			if err := <-room; err != nil {
				t.Fatal(err)
			}
			if err := s.Post("bob", []byte(tc.text), nil); err != nil {
				t.Errorf("there is room, and yet: %v", err)
			}
		})
	}
}

func TestFlushWaitsUntilAllIsTold(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	outcomes := make(chan outcome) // without room: done takes until the test has it
	s.post(outcomes, "a", "b")
	flushed := make(chan error, 1)
	go func() { flushed <- s.Flush(testContext(t)) }()
	f := proxy.accept()
	f.login()
	f.ok(f.wantText("a"), 1)
	f.ok(f.wantText("b"), 2)
	<-outcomes
	select {
	case <-flushed:
		t.Error("Flush did not wait for the second")
	case <-time.After(moment):
	}
	<-outcomes
	if err := <-flushed; err != nil {
		t.Error(err)
	}

	if err := s.Post("bob", []byte("c"), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush returned %v", err)
	}
}

func TestDoneMayPost(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	outcomes := make(chan outcome, 1)
	if err := s.Post("bob", []byte("a"), func(Result, error) { s.post(outcomes, "b") }); err != nil {
		t.Fatal(err)
	}
	f := proxy.accept()
	f.login()
	f.ok(f.wantText("a"), 1)
	f.ok(f.wantText("b"), 2)
	if o := <-outcomes; o.err != nil {
		t.Error(o.err)
	}
}

func TestPostRefusesWhatNobodyWouldTake(t *testing.T) {
	s := stream(t, nil, Address{Host: "127.0.0.1", TCP: 1})
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
		wantCode(t, s.Post(tc.to, []byte(tc.text), nil), tc.code)
	}
	if n := s.Pending(); n != 0 {
		t.Errorf("%d are pending", n)
	}
}

func TestATextIsCopied(t *testing.T) {
	proxy := newPeer(t)
	s := stream(t, nil, proxy.address())
	text := []byte("hello")
	if err := s.Post("bob", text, nil); err != nil {
		t.Fatal(err)
	}
	copy(text, "later")
	s.start()
	f := proxy.accept()
	f.login()
	f.wantText("hello")
}

// What becomes of a message when its Send, or Serve, ends before the answer.
func TestSendsThatEndEarly(t *testing.T) {
	t.Run("before the message was written", func(t *testing.T) {
		proxy := newPeer(t)
		s := serve(t, nil, proxy.address())
		f := proxy.accept()
		frame[wire.Login](f)
		ctx, cancel := context.WithTimeout(t.Context(), moment)
		defer cancel()
		_, err := s.Send(ctx, "bob", []byte("hello"))
		if !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		f.write("ok;id=login\n")
		f.wantSilence() // nor is it sent later
	})
	t.Run("while no proxy serves, which it says", func(t *testing.T) {
		proxy := newPeer(t)
		s := serve(t, func(s *Stream) { s.pace.firstPause, s.pace.longestPause = time.Hour, time.Hour }, proxy.address())
		f := proxy.accept()
		frame[wire.Login](f)
		f.write("err;id=login:unavail:no server is there\n")
		<-s.events
		ctx, cancel := context.WithTimeout(t.Context(), moment)
		defer cancel()
		_, err := s.Send(ctx, "bob", []byte("hello"))
		if !errors.Is(err, ErrNotSent) || !strings.Contains(err.Error(), "no server is there") {
			t.Errorf("got %v", err)
		}
	})
	for name, tc := range map[string]struct {
		before func(s *serving, p *peer, f *far, m wire.Wrmsg) // Send ends after this
		code   chat.Code
	}{
		"after it was written": {func(*serving, *peer, *far, wire.Wrmsg) {}, chat.CodeUnknown},
		"after it was refused for the moment": {func(s *serving, _ *peer, f *far, m wire.Wrmsg) {
			f.err(m, chat.CodeUnavail)
			s.waitRefused(chat.CodeUnavail)
		}, chat.CodeUnavail},
		"after it was in doubt": {func(s *serving, _ *peer, f *far, m wire.Wrmsg) {
			f.err(m, chat.CodeUnknown)
			s.waitRefused(chat.CodeUnknown)
		}, chat.CodeUnknown},
		"after it was in doubt and then refused for the moment": {func(s *serving, p *peer, f *far, m wire.Wrmsg) {
			f.conn.Close()
			f = p.accept()
			f.login()
			f.err(f.wantText("hello"), chat.CodeBusy)
			s.waitRefused(chat.CodeBusy)
		}, chat.CodeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := newPeer(t)
			s := serve(t, nil, proxy.address())
			ctx, cancel := context.WithCancel(t.Context())
			sent := make(chan error, 1)
			go func() {
				_, err := s.Send(ctx, "bob", []byte("hello"))
				sent <- err
			}()
			f := proxy.accept()
			f.login()
			tc.before(s, proxy, f, f.wantText("hello"))
			cancel()
			err := <-sent
			wantCode(t, err, tc.code)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v does not say why it ended", err)
			}
			if n := s.Pending(); n != 0 {
				t.Errorf("%d are pending", n)
			}
		})
	}
}

func TestAuthOfAMessageInDoubtLeavesItInDoubt(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	f := proxy.accept()
	f.login()
	f.wantText("hello")
	f.conn.Close()
	f = proxy.accept()
	f.login()
	f.err(f.wantText("hello"), chat.CodeAuth)
	wantCode(t, (<-outcomes).err, chat.CodeUnknown)
}

func TestTheEndOfServeEmptiesTheOutbox(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	outcomes := make(chan outcome, 9)
	s.post(outcomes, "a")
	f := proxy.accept()
	f.login()
	a := f.wantText("a")
	f.err(a, chat.CodeBusy)
	f.wantText("a")
	s.post(outcomes, "b", "c") // they wait for a
	s.cancel()
	s.wantEnd()
	wantCode(t, (<-outcomes).err, chat.CodeUnknown)
	for _, text := range []string{"b", "c"} {
		if o := <-outcomes; o.text != text || !errors.Is(o.err, ErrNotSent) || !errors.Is(o.err, context.Canceled) {
			t.Errorf("told of %+v, want that %q was not sent", o, text)
		}
	}
	if err := s.Post("bob", []byte("d"), nil); !errors.Is(err, ErrNotSent) {
		t.Errorf("after the end Post returned %v", err)
	}
	if err := s.Room(t.Context()); err != nil {
		t.Errorf("after the end Room returned %v", err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Errorf("after the end Flush returned %v", err)
	}
}

// One write does not grow without bounds, and nothing is left behind by that.
func TestManyMessagesAreWrittenInPieces(t *testing.T) {
	o := newOutbox(func() {})
	text := []byte(strings.Repeat("x", 4000))
	for range 200 {
		if _, err := o.add("bob", text, nil); err != nil {
			t.Fatal(err)
		}
	}
	var sizes []int
	for {
		b, _ := o.appendSends(nil, time.Now())
		if len(b) == 0 {
			break
		}
		sizes = append(sizes, len(b))
	}
	if most := slices.Max(sizes); most > maxWrite+len(text)+frameRoom {
		t.Errorf("one write has %d bytes", most)
	}
	for _, m := range o.queue {
		if m.written.IsZero() {
			t.Fatal("a message was left behind")
		}
		if size := len(wire.AppendSend(nil, wire.Wrmsg{ID: m.id, To: m.lane.to, Text: m.text})); size > m.size() {
			t.Fatalf("a frame has %d bytes and counts as %d", size, m.size())
		}
	}
}
