package edge_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

func TestSendsAreHandedOnInOrderAndAnsweredInAny(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	texts := []string{"one", "a:b\nc::\r\n", "\xff\x01", ""}
	for i, text := range texts {
		c.say(t, wrmsg("m"+strconv.Itoa(i), "bob", text))
	}
	for i, text := range texts {
		got := receive(t, "the send", s.sends)
		if got.ref != uint64(i+1) || got.To != "bob" || string(got.Text) != text || got.ID != chat.MessageID("m"+strconv.Itoa(i)) {
			t.Errorf("send %d is handed on as %+v", i, got)
		}
	}
	for _, ref := range []uint64{3, 1, 4, 2} {
		s.client.Answer(ref, chat.Seq(100+ref), nil)
		c.want(t, fmt.Sprintf("ok;id=m%d;seq=%d\n", ref-1, 100+ref))
	}
	n.wantSends(t, "ok", 4)
}

func TestSendIsRefusedWithItsCode(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	c.say(t, wrmsg("m1", "nobody", "hi"))
	s.client.Answer(receive(t, "the send", s.sends).ref, 0, chat.Errorf(chat.CodeNoUser, "there is no user nobody"))
	c.want(t, "err;id=m1:nouser:there is no user nobody\n")
	c.wantPong(t)
	n.wantSends(t, "nouser", 1)
}

func TestAnswerCountsOnceAndOnlyToWhatWasAsked(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	c.say(t, wrmsg("m1", "bob", "hi"))
	ref := receive(t, "the send", s.sends).ref
	s.client.Answer(ref+1, 5, nil)
	s.client.Answer(ref, 6, nil)
	s.client.Answer(ref, 7, nil)
	s.client.Answer(0, 0, nil)
	c.want(t, "ok;id=m1;seq=6\n")
	c.wantPong(t)
	n.wantSends(t, "ok", 1)
}

func TestSendBeyondTheBoundIsBusy(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name  string
		sends int // that are within the bound
		text  string
		more  string // the text of what is beyond
	}{
		{"1024 sends", 1024, "", ""},
		{"1 MiB of texts", 16, strings.Repeat("x", mib/16), "y"},
		{"nearly 1 MiB of texts", 20, strings.Repeat("x", 50_000), strings.Repeat("y", 50_000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{MaxText: chat.MaxText})
			c, s := n.logIn(t)
			for i := range tc.sends {
				c.say(t, wrmsg("m"+strconv.Itoa(i), "bob", tc.text))
			}
			c.say(t, wrmsg("beyond", "bob", tc.more), "ping;id=p\n", "ack:alice:7\n")
			c.wantErr(t, "beyond", chat.CodeBusy)
			c.want(t, "pong;id=p\n")
			if a := receive(t, "the ack", s.acks); a != (acked{0, "alice", 7}) {
				t.Errorf("acknowledged %+v", a)
			}
			if len(s.sends) != tc.sends {
				t.Errorf("%d sends are handed on, want %d", len(s.sends), tc.sends)
			}
			n.wantSends(t, "busy", 1)

			s.client.Answer(1, 5, nil)
			c.want(t, "ok;id=m0;seq=5\n")
			c.say(t, wrmsg("again", "bob", tc.more))
			c.wantPong(t)
			if len(s.sends) != tc.sends+1 {
				t.Error("after an answer there is no room for another send")
			}
		})
	}
}

func TestMessageOnAStreamHasNoCredentials(t *testing.T) {
	for _, credentials := range []string{"alice:secret", "bob:secret", "alice:"} {
		n := serve(t, newHandler(), edge.Config{})
		c, s := n.logIn(t)
		c.say(t, "wrmsg;id=m1;len=2:"+credentials+":bob:hi\n")
		c.wantErr(t, "m1", chat.CodeBadReq)
		c.wantPong(t)
		wantNone(t, "a send", s.sends)
		n.wantSends(t, "badreq", 1)
	}
}

func TestAckIsAnsweredIfItHasAnID(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	c.say(t, "ack:alice:5\n", "ack;id=a1:%:6\n", wrmsg("m1", "bob", "hi"), "ack;id=a2:alice:7\n")
	for _, want := range []acked{{0, "alice", 5}, {1, "%", 6}, {3, "alice", 7}} {
		if got := receive(t, "the ack", s.acks); got != want {
			t.Errorf("acknowledged %+v, want %+v", got, want)
		}
	}
	s.client.Answer(3, 0, chat.Errorf(chat.CodeBadReq, "there is no message 7 yet"))
	c.wantErr(t, "a2", chat.CodeBadReq)
	s.client.Answer(1, 0, nil)
	c.want(t, "ok;id=a1\n")
	s.client.Answer(0, 0, chat.Errorf(chat.CodeBadReq, "there is no message 5 yet"))
	c.wantErr(t, "", chat.CodeBadReq)
	c.wantPong(t)
	n.wantSends(t, "ok", 0)
}

func TestAcksWithAnIDAreWithinTheBoundOfSends(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	for i := range 1023 {
		c.say(t, fmt.Sprintf("ack;id=a%d:alice:1\n", i))
	}
	c.say(t, wrmsg("m1", "bob", "hi"), "ack;id=beyond:alice:1\n", wrmsg("m2", "bob", "hi"))
	c.wantErr(t, "beyond", chat.CodeBusy)
	c.wantErr(t, "m2", chat.CodeBusy)
	if len(s.acks) != 1023 || len(s.sends) != 1 {
		t.Errorf("handed on are %d acks and %d sends", len(s.acks), len(s.sends))
	}
	n.wantSends(t, "busy", 1)
}

func TestAckOfWhatIsNotRead(t *testing.T) {
	for _, tc := range []struct{ name, login, ack string }{
		{"another user's mailbox", "poll;v=2;id=in:alice:secret:0\n", "ack;id=a:bob:5\n"},
		{"a stream that only sends", "poll;v=2;id=in;push=0:alice:secret:0\n", "ack;id=a:alice:5\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c := n.stream(t)
			c.say(t, tc.login, tc.ack)
			c.want(t, "ok;id=in\n")
			c.wantErr(t, "a", chat.CodeBadReq)
			c.wantPong(t)
			wantNone(t, "an ack", receive(t, "the login", n.logins).acks)
		})
	}
}

func TestPingIsAnsweredWithItsID(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, _ := n.logIn(t)
	c.say(t, "ping;id=a b\n", "ping\n", "pong;id=x\n", "pong\n", "ping;id=c\n")
	c.want(t, "pong;id=a b\n", "pong\n", "pong;id=c\n")
}

func TestRefusedFrameDoesNotEndTheStream(t *testing.T) {
	for _, tc := range []struct {
		name, frame, id string
		code            chat.Code
	}{
		{"another login", "poll;v=2;id=r:bob:secret:0\n", "r", chat.CodeBadReq},
		{"a poll of version 1", "poll:alice:secret:9001\n", "", chat.CodeBadReq},
		{"an ok", "ok;id=o\n", "o", chat.CodeBadReq},
		{"an err", "err;id=e:busy:try later\n", "e", chat.CodeBadReq},
		{"a newmsg", newmsg("alice", 5, "hi"), "m", chat.CodeBadReq},
		{"an unknown verb", "hello;id=h:a:b\n", "h", chat.CodeBadReq},
		{"an ack without a seq", "ack;id=a:alice\n", "a", chat.CodeBadReq},
		{"an ack of a seq that is none", "ack;id=a:alice:-1\n", "a", chat.CodeBadReq},
		{"a text over the limit", "wrmsg;id=m;len=4001:::bob:" + strings.Repeat("x", 4001) + "\n", "m", chat.CodeTooLarge},
		{"a NUL in a text", wrmsg("m", "bob", "h\x00i"), "m", chat.CodeBadReq},
		{"a recipient that is none", "wrmsg;id=m;len=2:::b%b:hi\n", "m", chat.CodeBadReq},
		{"a message without an id", "wrmsg;len=2:::bob:hi\n", "", chat.CodeBadReq},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c, s := n.logIn(t)
			c.say(t, tc.frame)
			c.wantErr(t, tc.id, tc.code)
			c.wantPong(t)
			wantNone(t, "a send", s.sends)
			wantNone(t, "an ack", s.acks)
			wantNone(t, "a login", n.logins)
		})
	}
}

func TestFrameWithoutAKnownEndEndsTheStream(t *testing.T) {
	for _, tc := range []struct {
		name, frame string
		code        chat.Code
	}{
		{"a message without a length", "wrmsg;id=m:::bob:hi\n", chat.CodeBadReq},
		{"a length that is none", "wrmsg;id=m;len=x:::bob:hi\n", chat.CodeBadReq},
		{"a length over all limits", "wrmsg;id=m;len=99999999999:::bob:hi\n", chat.CodeTooLarge},
		{"a length that is too short", "wrmsg;id=m;len=1:::bob:hi\n", chat.CodeBadReq},
		{"bytes", "\x00\xff\x16\x03\n\n\n", chat.CodeBadReq},
		{"an empty line", "\n", chat.CodeBadReq},
		{"a header without end", strings.Repeat("a", 100_000), chat.CodeTooLarge},
		{"attributes without end", "ping;" + strings.Repeat("a", 100_000), chat.CodeTooLarge},
		{"a message of version 1", "wrmsg:alice:secret:bob:hi", chat.CodeBadReq},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c, s := n.logIn(t)
			c.say(t, wrmsg("m1", "bob", "before"), tc.frame)
			m := receive(t, "the send before it", s.sends)
			c.wantErr(t, "", tc.code)
			s.client.Answer(m.ref, 5, nil)
			c.want(t, "ok;id=m1;seq=5\n")
			c.wantEnd(t)
			s.wantClosed(t)
			n.wantEnds(t, string(tc.code), 1)
		})
	}
}

func TestFramesMayComeAByteAtATime(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c := n.stream(t)
	for _, b := range []byte("poll;v=2;id=in:alice:secret:0\n" + wrmsg("m1", "bob", "a\nb") + "ack:%:9\n" + "ping;id=p\n") {
		c.say(t, string(b))
	}
	c.want(t, "ok;id=in\n", "pong;id=p\n")
	s := receive(t, "the login", n.logins)
	if m := receive(t, "the send", s.sends); string(m.Text) != "a\nb" {
		t.Errorf("the text is %q", m.Text)
	}
	if a := receive(t, "the ack", s.acks); a != (acked{0, "%", 9}) {
		t.Errorf("acknowledged %+v", a)
	}
}

func TestMessagesAreDelivered(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	long := strings.Repeat("a:b\n", 16_000)
	if !s.client.Deliver([]chat.Message{message("alice", 5, "one"), message("alice", 9, long)}) ||
		!s.client.Deliver([]chat.Message{message(chat.Everyone, 7, "")}) {
		t.Fatal("messages are not taken")
	}
	c.want(t, newmsg("alice", 5, "one"), newmsg("alice", 9, long), newmsg("%", 7, ""))
}

// A client that says bye, or half-closes, has said all it had to say, and wants to know what became of it.
func TestClientThatHasSaidAllGetsItsAnswers(t *testing.T) {
	for _, tc := range []struct {
		name string
		last func(*testing.T, *streamClient)
	}{
		{"with bye", func(t *testing.T, c *streamClient) { c.say(t, "bye\n", wrmsg("m9", "bob", "too late")) }},
		{"with a half-close", func(t *testing.T, c *streamClient) { c.halfClose(t) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c, s := n.logIn(t)
			c.say(t, wrmsg("m1", "bob", "one"), "ack;id=a1:alice:3\n", wrmsg("m2", "bob", "two"))
			tc.last(t, c)
			receive(t, "the first send", s.sends)
			receive(t, "the second send", s.sends)
			s.client.Answer(2, 0, nil)
			s.client.Answer(1, 5, nil)
			c.want(t, "ok;id=a1\n", "ok;id=m1;seq=5\n")
			if s.closes.Load() != 0 {
				t.Error("the stream is closed before its last answer")
			}
			s.client.Answer(3, 6, nil)
			c.want(t, "ok;id=m2;seq=6\n")
			c.wantEnd(t)
			s.wantClosed(t)
			wantNone(t, "another send", s.sends)
			n.wantEnds(t, "client", 1)
		})
	}
}

func TestClientThatEndsWithinAFrameIsToldSo(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	c.say(t, "wrmsg;id=m1;len=10:::bob:hi")
	c.halfClose(t)
	c.wantErr(t, "", chat.CodeBadReq)
	c.wantEnd(t)
	s.wantClosed(t)
	wantNone(t, "a send", s.sends)
}

func TestClientThatIsGoneEndsItsStream(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	c.say(t, wrmsg("m1", "bob", "hi"))
	receive(t, "the send", s.sends)
	c.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
	c.Close() // resets
	s.wantClosed(t)
	n.wantEnds(t, "lost", 1)
	s.client.Answer(1, 5, nil)
	if s.client.Deliver([]chat.Message{message("alice", 5, "hi")}) {
		t.Error("a message is taken for a client that is gone")
	}
	s.client.End(nil)
}

func TestStreamIsEndedWithAReason(t *testing.T) {
	for _, tc := range []struct {
		name   string
		why    error
		code   chat.Code
		reason string
	}{
		{"replaced", chat.Errorf(chat.CodeReplaced, "a newer one took over"), chat.CodeReplaced, "replaced"},
		{"any error", errors.New("the moon is full"), chat.CodeUnknown, "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c, s := n.logIn(t)
			c.say(t, wrmsg("m1", "bob", "one"), wrmsg("m2", "bob", "two"))
			receive(t, "a send", s.sends)
			receive(t, "a send", s.sends)
			s.client.Deliver([]chat.Message{message("alice", 5, "hi")})
			s.client.Answer(1, 5, nil)
			s.client.End(tc.why)
			s.client.End(nil)
			s.client.Answer(2, 6, nil)
			if s.client.Deliver([]chat.Message{message("alice", 6, "ho")}) {
				t.Error("a message is taken after the end")
			}
			c.Write([]byte(strings.Repeat(wrmsg("m3", "bob", strings.Repeat("x", 4000)), 100))) // as a client that has not read the end yet
			c.want(t, newmsg("alice", 5, "hi"), "ok;id=m1;seq=5\n")
			c.wantErr(t, "in", tc.code)
			c.wantEnd(t)
			s.wantClosed(t)
			n.wantEnds(t, tc.reason, 1)
			if c.Close(); len(s.sends) != 0 {
				t.Error("a send is handed on after the end")
			}
		})
	}
}

func TestNodeThatLeavesSaysBye(t *testing.T) {
	t.Run("and the client closes", func(t *testing.T) {
		n := serve(t, newHandler(), edge.Config{Grace: patience})
		c, s := n.logIn(t)
		s.client.End(nil)
		c.want(t, "bye\n")
		c.wantEnd(t)
		c.say(t, wrmsg("m1", "bob", "too late"))
		c.Close()
		s.wantClosed(t)
		n.wantEnds(t, "bye", 1)
		wantNone(t, "a send", s.sends)
	})
	t.Run("and the client does not", func(t *testing.T) {
		n := serve(t, newHandler(), edge.Config{Grace: moment})
		c, s := n.logIn(t)
		s.client.End(nil)
		c.want(t, "bye\n")
		c.wantEnd(t)
		s.wantClosed(t)
		n.wantEnds(t, "bye", 1)
		eventually(t, "the connection is closed", func() bool {
			_, err := c.Write([]byte("ping\n"))
			return err != nil
		})
	})
}
