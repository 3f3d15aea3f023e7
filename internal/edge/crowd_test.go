package edge_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// answer answers sends at once, at seqs of its own, until the stream is closed.
func (s *stream) answer() {
	for {
		select {
		case m := <-s.sends:
			s.client.Answer(m.ref, chat.Seq(1000+m.ref), nil)
			s.client.Deliver([]chat.Message{message("alice", chat.Seq(m.ref), string(m.Text))})
		case <-s.closed:
			return
		}
	}
}

func TestAThousandStreamsAtOnce(t *testing.T) {
	const streams, sends = 1000, 5
	h := newHandler()
	var answering sync.WaitGroup
	h.login = func(_ context.Context, s *stream) error { answering.Go(s.answer); return nil }
	n := serve(t, h, edge.Config{})
	t.Cleanup(answering.Wait)
	var talking sync.WaitGroup
	errs := make(chan error, streams)
	for i := range streams {
		c := n.stream(t)
		c.SetDeadline(time.Now().Add(3 * patience))
		talking.Go(func() { errs <- c.converse(i, sends) })
	}
	talking.Wait()
	for range streams {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	n.wantEnds(t, "client", streams)
	n.wantSends(t, "ok", streams*sends)
}

// converse sends, and is told each message, and how it is answered, in whatever order.
func (c *streamClient) converse(i, sends int) error {
	frames, want := "poll;v=2;id=in;dev=d:alice:secret:0\n", map[string]bool{}
	for k := 1; k <= sends; k++ {
		text := fmt.Sprintf("%d of %d", k, i)
		frames += wrmsg(fmt.Sprint("m", k), "bob", text)
		want[fmt.Sprintf("ok;id=m%d;seq=%d\n", k, 1000+k)] = true
		want[newmsg("alice", chat.Seq(k), text)] = true
	}
	if _, err := io.WriteString(c, frames); err != nil {
		return err
	}
	if line, err := c.in.ReadString('\n'); line != "ok;id=in\n" {
		return fmt.Errorf("the login is answered %q, %v", line, err)
	}
	for len(want) > 0 {
		line, err := c.in.ReadString('\n')
		if !want[line] {
			return fmt.Errorf("stream %d is told %q, %v; of what it wants it lacks %d", i, line, err, len(want))
		}
		delete(want, line)
	}
	if _, err := io.WriteString(c, "bye\n"); err != nil {
		return err
	}
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		return fmt.Errorf("after bye comes %q, %v", rest, err)
	}
	return c.Close()
}

func TestClientThatNeverReadsIsSlow(t *testing.T) {
	for _, tc := range []struct {
		name string
		fill func(*streamClient, *stream) // until the stream ends
	}{
		{"messages", func(_ *streamClient, s *stream) {
			for s.client.Deliver([]chat.Message{message("alice", 1, strings.Repeat("x", 4000))}) {
			}
		}},
		{"pongs", func(c *streamClient, _ *stream) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("ping;id="+strings.Repeat("p", 64)+"\n", 100)); err != nil {
					return
				}
			}
		}},
		{"refusals", func(c *streamClient, _ *stream) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("hello\n", 1000)); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			c, s := n.logIn(t)
			var filling sync.WaitGroup
			filling.Go(func() { tc.fill(c, s) })
			s.wantClosed(t)
			n.wantEnds(t, "slow", 1)
			c.Close()
			filling.Wait()
		})
	}
}

func TestSlowClientThatReadsAtLastIsToldWhy(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	for s.client.Deliver([]chat.Message{message("alice", 1, strings.Repeat("x", 4000))}) {
	}
	last := ""
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			break
		}
		if last = line; !strings.HasPrefix(line, "err;") && line != newmsg("alice", 1, strings.Repeat("x", 4000)) {
			t.Fatalf("the client is told %.100q", line)
		}
	}
	if !strings.HasPrefix(last, "err;id=in:slow:") {
		t.Errorf("the last word is %.100q", last)
	}
}

// Whatever comes, the edge goes on, and others are served.
func TestNoiseHarmsNobody(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{})
	c, s := n.logIn(t)
	random := rand.NewChaCha8([32]byte{1})
	var noise sync.WaitGroup
	for range 200 {
		conn, err := net.DialTCP("tcp", nil, n.TCPAddr())
		if err != nil {
			t.Fatal(err)
		}
		bytes := make([]byte, 3000)
		random.Read(bytes)
		noise.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			io.WriteString(conn, "poll;v=2;id=in:mallory:secret:0\n")
			conn.Write(bytes)
			conn.CloseWrite()
			io.Copy(io.Discard, conn)
		})
	}
	noise.Wait()
	c.say(t, wrmsg("m1", "bob", "hi"))
	s.client.Answer(receive(t, "the send", s.sends).ref, 5, nil)
	c.want(t, "ok;id=m1;seq=5\n")
}
