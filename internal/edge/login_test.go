package edge_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

func TestLoginOpensAStream(t *testing.T) {
	for _, tc := range []struct {
		name, login, answer string
		want                edge.Login
	}{
		{"with a device", "poll;v=2;id=r1;dev=phone:alice:secret:0\n", "ok;id=r1\n", edge.Login{User: "alice", Device: "phone"}},
		{"without one", "poll;v=2;id=r1:alice:secret:0\n", "ok;id=r1\n", edge.Login{User: "alice", Device: "default"}},
		{"only to send", "poll;v=2;id=r1;push=0;dev=phone:alice:secret:0\n", "ok;id=r1\n", edge.Login{User: "alice"}},
		{"without an id", "poll;v=2:alice:secret:0\n", "ok\n", edge.Login{User: "alice", Device: "default"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c := n.stream(t)
			c.say(t, tc.login)
			c.want(t, tc.answer)
			s := receive(t, "the login", n.logins)
			if password := s.login.Password.Reveal(); password != "secret" {
				t.Errorf("the password is %q", password)
			}
			if s.login.Nonce >= 1<<20 {
				t.Errorf("the nonce is %d", s.login.Nonce)
			}
			s.login.Password, s.login.Nonce = chat.Secret{}, 0
			if s.login != tc.want {
				t.Errorf("the handler is given %+v, want %+v", s.login, tc.want)
			}
			if want := (edge.Caller{Addr: netip.MustParseAddr("127.0.0.1")}); s.from != want {
				t.Errorf("the caller is %+v, want %+v", s.from, want)
			}
			c.say(t, "bye\n")
			c.wantEnd(t)
			s.wantClosed(t)
			n.wantEnds(t, "client", 1)
			n.wantLogins(t, "ok", 1)
		})
	}
}

func (n *node) wantLogins(t testing.TB, outcome string, want float64) {
	t.Helper()
	if got := testutil.ToFloat64(n.metrics.Logins.WithLabelValues(outcome)); got != want {
		t.Errorf("%v logins are counted under %s, want %v", got, outcome, want)
	}
}

func TestStreamsHaveNoncesOfTheirOwn(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	seen := make(map[uint32]bool)
	for range 8 {
		_, s := n.logIn(t)
		seen[s.login.Nonce] = true
	}
	if len(seen) < 7 { // two of eight may be equal by chance, once in 37 000 runs
		t.Errorf("eight streams have %d nonces", len(seen))
	}
}

func TestRefusedLoginEndsTheConnectionAndNothingBehindItIsDone(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		code chat.Code
	}{
		{"a wrong password", chat.Errorf(chat.CodeAuth, "the password is wrong"), chat.CodeAuth},
		{"inside another error", fmt.Errorf("asking: %w", chat.Errorf(chat.CodeBusy, "too many")), chat.CodeBusy},
		{"no answer", errors.New("the moon is full"), chat.CodeUnavail},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHandler()
			h.login = func(context.Context, *stream) error { return tc.err }
			n := serve(t, h, edge.Config{})
			c := n.stream(t)
			c.say(t, "poll;v=2;id=r1:alice:secret:0\n", wrmsg("m1", "bob", strings.Repeat("x", 4000)), "ping;id=p\n")
			c.wantErr(t, "r1", tc.code)
			c.wantEnd(t)
			wantNone(t, "a request", n.requests)
			n.wantLogins(t, string(tc.code), 1)
			if ends := testutil.CollectAndCount(n.metrics.StreamEnds); ends != 0 {
				t.Error("a stream that was never open is counted as ended")
			}
		})
	}
}

// undecided is a handler that refuses a login with refusal, or opens a stream if that is nil, once decide is closed.
func undecided(refusal error) (h *handler, decide chan struct{}) {
	decide = make(chan struct{})
	h = newHandler()
	h.login = func(context.Context, *stream) error { <-decide; return refusal }
	return h, decide
}

func TestFramesMayFollowTheLoginBeforeItsAnswer(t *testing.T) {
	h, decide := undecided(nil)
	n := serve(t, h, edge.Config{})
	c := n.stream(t)
	c.say(t, "poll;v=2;id=r1:alice:secret:0\n", wrmsg("m1", "bob", "one"), "ping;id=p\n", wrmsg("m2", "bob", "two"))
	close(decide)
	s := receive(t, "the login", n.logins)
	for ref := uint64(1); ref <= 2; ref++ {
		if m := receive(t, "the send", s.sends); m.ref != ref {
			t.Errorf("send %d has the ref %d", ref, m.ref)
		}
	}
	c.want(t, "ok;id=r1\n", "pong;id=p\n")
}

// A client takes the next proxy when not even a ping is answered, so a login that takes long must not keep the pongs.
func TestPingsAreAnsweredWhileALoginIsDecided(t *testing.T) {
	for _, tc := range []struct{ name, half, rest string }{
		{"then a message", wrmsg("m1", "bob", "one"), "ping;id=p3\n"},
		{"then a ping cut by the decision", "pi", "ng;id=p3\n"},
		{"then a long one", "ping;id=p", "3\n"},
		{"then what only looks like one", "pingpong;id=no\nping", ";id=p3\n"},
	} {
		for _, secured := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", tc.name, secured), func(t *testing.T) {
				h, decide := undecided(nil)
				n, _ := serveTLS(t, h, edge.Config{})
				c := n.stream(t)
				if secured {
					c = newStreamClient(n.dialTLS(t, 0))
				}
				c.say(t, "poll;v=2;id=r1:alice:secret:0\n", "ping;id=p1\n")
				c.want(t, "pong;id=p1\n")
				c.say(t, "ping;id=p2\n")
				c.want(t, "pong;id=p2\n")
				c.say(t, tc.half)
				close(decide)
				c.want(t, "ok;id=r1\n")
				c.say(t, tc.rest)
				if strings.HasPrefix(tc.half, "pingpong") {
					c.wantErr(t, "no", chat.CodeBadReq)
				}
				c.want(t, "pong;id=p3\n")
				if strings.HasPrefix(tc.half, "wrmsg") {
					receive(t, "the send", receive(t, "the login", n.logins).sends)
				}
			})
		}
	}
}

func TestAClientMayHalfCloseWhileItsLoginIsDecided(t *testing.T) {
	h, decide := undecided(nil)
	n := serve(t, h, edge.Config{})
	c := n.stream(t)
	c.say(t, "poll;v=2;id=r1:alice:secret:0\n", "ping\n")
	c.halfClose(t)
	c.want(t, "pong\n")
	close(decide)
	c.want(t, "ok;id=r1\n")
	c.wantEnd(t)
	n.wantEnds(t, "client", 1)
}

func TestPingsBeforeARefusal(t *testing.T) {
	h, decide := undecided(chat.Errorf(chat.CodeAuth, "the password is wrong"))
	n := serve(t, h, edge.Config{})
	c := n.stream(t)
	c.say(t, "poll;v=2;id=r1:alice:secret:0\n", "ping\n")
	c.want(t, "pong\n")
	close(decide)
	c.wantErr(t, "r1", chat.CodeAuth)
	c.wantEnd(t)
}

// A server may begin to push at once, while its answer is still on its way.
func TestLoginIsAnsweredBeforeAnythingElseIsTold(t *testing.T) {
	h := newHandler()
	h.login = func(_ context.Context, s *stream) error {
		if !s.client.Deliver([]chat.Message{message("alice", 5, "hi")}) {
			t.Error("a message is not taken before the login is answered")
		}
		return nil
	}
	n := serve(t, h, edge.Config{})
	c := n.stream(t)
	c.say(t, "poll;v=2;id=r1:alice:secret:0\n")
	c.want(t, "ok;id=r1\n", newmsg("alice", 5, "hi"))
}

func TestRefusedLoginIsToldNothingElse(t *testing.T) {
	for _, tc := range []struct {
		name string
		tell func(edge.StreamClient)
	}{
		{"a message", func(c edge.StreamClient) { c.Deliver([]chat.Message{message("alice", 5, "hi")}) }},
		{"another end", func(c edge.StreamClient) { c.End(chat.Errorf(chat.CodeReplaced, "a newer one took over")) }},
		{"bye", func(c edge.StreamClient) { c.End(nil) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHandler()
			h.login = func(_ context.Context, s *stream) error {
				tc.tell(s.client)
				return chat.Errorf(chat.CodeAuth, "the password is wrong")
			}
			n := serve(t, h, edge.Config{})
			c := n.stream(t)
			c.say(t, "poll;v=2;id=r1:alice:secret:0\n")
			c.wantErr(t, "r1", chat.CodeAuth)
			c.wantEnd(t)
		})
	}
}

func TestStreamMayEndBeforeItsLoginIsAnswered(t *testing.T) {
	h := newHandler()
	h.login = func(_ context.Context, s *stream) error {
		s.client.End(chat.Errorf(chat.CodeReplaced, "a newer one took over"))
		return nil
	}
	n := serve(t, h, edge.Config{})
	c := n.stream(t)
	c.say(t, "poll;v=2;id=r1:alice:secret:0\n", wrmsg("m1", "bob", "too late"))
	c.want(t, "ok;id=r1\n")
	c.wantErr(t, "r1", chat.CodeReplaced)
	c.wantEnd(t)
	s := receive(t, "the login", n.logins)
	s.wantClosed(t)
	wantNone(t, "a send", s.sends)
	n.wantEnds(t, "replaced", 1)
}

func TestMessageWithCredentialsIsAConnectionsFirstAndOnlyFrame(t *testing.T) {
	h := newHandler()
	h.send = func(context.Context) (chat.Seq, error) { return 42, nil }
	n := serve(t, h, edge.Config{})
	c := n.stream(t)
	c.say(t, "wrmsg;id=m1;len=7:alice:secret:bob:hi\nbob!\n", "ping;id=p\n") // and does not half-close
	c.want(t, "ok;id=m1;seq=42\n")
	c.wantEnd(t)
	m := receive(t, "the message", n.requests).message
	if m.ID != "m1" || m.User != "alice" || m.Password.Reveal() != "secret" || m.To != "bob" || string(m.Text) != "hi\nbob!" {
		t.Errorf("the handler is given %+v", m)
	}
	n.wantSends(t, "ok", 1)
}

func TestMessageWithCredentialsThatIsRefused(t *testing.T) {
	h := newHandler()
	h.send = func(context.Context) (chat.Seq, error) { return 0, chat.Errorf(chat.CodeConflict, "another text") }
	n := serve(t, h, edge.Config{})
	c := n.stream(t)
	c.say(t, "wrmsg;id=m1;len=2:alice:secret:bob:hi\n")
	c.wantErr(t, "m1", chat.CodeConflict)
	c.wantEnd(t)
	n.wantSends(t, "conflict", 1)
}

func TestOtherFirstFramesEndTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name, frame, id string
		code            chat.Code // empty: there is no answer
	}{
		{"bye", "bye\n", "", ""},
		{"a ping", "ping;id=p\n", "p", chat.CodeBadReq},
		{"a pong", "pong;id=p\n", "p", chat.CodeBadReq},
		{"an ack", "ack;id=a:alice:1\n", "a", chat.CodeBadReq},
		{"an ok", "ok;id=o;seq=1\n", "o", chat.CodeBadReq},
		{"a newmsg", newmsg("alice", 1, "hi"), "m", chat.CodeBadReq},
		{"a message without credentials", wrmsg("m1", "bob", "hi"), "m1", chat.CodeBadReq},
		{"a message with half of them", "wrmsg;id=m1;len=2::secret:bob:hi\n", "m1", chat.CodeBadReq},
		{"a message without an id", "wrmsg;len=2:alice:secret:bob:hi\n", "", chat.CodeBadReq},
		{"a message without a length", "wrmsg;id=m1:alice:secret:bob:hi\n", "", chat.CodeBadReq},
		{"a text over the limit", "wrmsg;id=m1;len=4001:alice:secret:bob:" + strings.Repeat("x", 4001) + "\n", "m1", chat.CodeTooLarge},
		{"a length over all limits", "wrmsg;id=m1;len=99999999999:alice:secret:bob:x", "", chat.CodeTooLarge},
		{"a login of another version", "poll;v=3;id=r:alice:secret:0\n", "r", chat.CodeBadReq},
		{"a login with a port", "poll;v=2;id=r:alice:secret:9001\n", "r", chat.CodeBadReq},
		{"a login of nobody", "poll;v=2;id=r::secret:0\n", "r", chat.CodeBadReq},
		{"an unknown verb", "hello;id=h\n", "h", chat.CodeBadReq},
		{"a header without end", "poll;v=2;id=r:" + strings.Repeat("a", 3000), "", chat.CodeTooLarge},
		{"attributes that are none", "poll;;;;\n", "", chat.CodeBadReq},
		{"half a frame", "poll;v=2;id=r:ali", "", chat.CodeBadReq},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c := n.stream(t)
			c.say(t, tc.frame)
			c.halfClose(t)
			if tc.code != "" {
				c.wantErr(t, tc.id, tc.code)
				n.wantSends(t, string(tc.code), 1)
			}
			c.wantEnd(t)
			wantNone(t, "a login", n.logins)
			wantNone(t, "a message", n.requests)
		})
	}
}
