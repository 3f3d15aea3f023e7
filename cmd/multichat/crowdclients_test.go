package main_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/proctest"
)

// The kinds of clients in a crowd, besides those over plain sockets (rawstream_test.go).

// newStream is a stream of the library at these gates; with no reader it only sends.
func (c *crowd) newStream(user, ip string, gates []gate, r *reader) *client.Stream {
	c.t.Helper()
	config := client.StreamConfig{User: chat.UserID(user), Password: chat.NewSecret("demo"), LocalAddr: netip.MustParseAddr(ip),
		Log: slog.New(slog.NewTextHandler(c.log, nil)).With("user", user)}
	for _, g := range gates {
		proxy, err := client.ParseAddress(proxyFlag(c.t, g))
		if err != nil {
			c.t.Fatal(err)
		}
		config.Proxies = append(config.Proxies, proxy)
	}
	if r != nil {
		config.Device = chat.DeviceID(r.name)
		config.Take = func(m chat.Message) error {
			r.take(string(m.Text))
			return nil
		}
	}
	stream, err := client.NewStream(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return stream
}

// readByLibrary reads with the library.
func (c *crowd) readByLibrary(user, device, ip string, gates ...gate) {
	c.t.Helper()
	stream := c.newStream(user, ip, gates, c.addReader(device, user))
	c.reading.Go(func() {
		if err := stream.Serve(c.ctx); c.ctx.Err() == nil {
			c.t.Errorf("%s: the library's stream has ended: %v", device, err)
		}
	})
}

// sendByLibrary sends with the library, many messages unanswered at a time.
func (c *crowd) sendByLibrary(user, to, ip string, gates ...gate) {
	c.t.Helper()
	stream := c.newStream(user, ip, gates, nil)
	s := c.addSender(user+" by library", to)
	serving, end := context.WithCancel(c.ctx)
	c.sending.Go(func() {
		defer end()
		c.sendAtPace(func() {
			n, text := s.begin()
			err := stream.Post(chat.Mailbox(to), []byte(text), func(_ client.Result, err error) { s.answered(n, errorText(err)) })
			if err != nil {
				s.answered(n, err.Error())
			}
		})
		flushing, cancel := context.WithTimeout(serving, 30*time.Second)
		defer cancel()
		stream.Flush(flushing) // what is still unanswered afterwards is seen
	})
	c.sending.Go(func() {
		if err := stream.Serve(serving); serving.Err() == nil {
			c.t.Errorf("%s: the library's stream has ended: %v", s.name, err)
		}
	})
}

// sendLines has a send command send lines. What becomes of them is known when finish has ended the command.
func (c *crowd) sendLines(user, to string, gates ...gate) (s *sender, finish func()) {
	c.t.Helper()
	args := []string{"send", "--user", user, "--to", to}
	for _, g := range gates {
		args = append(args, "--proxy", proxyFlag(c.t, g))
	}
	p := &process{name: "send", cmd: exec.Command(binary, append(args, "-")...), output: &proctest.Output{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "MULTICHAT_PASSWORD=demo")
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	in, err := p.cmd.StdinPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	c.t.Cleanup(p.kill)
	s = &sender{name: user + " by lines", to: to}
	c.sending.Go(func() {
		c.sendAtPace(func() {
			_, text := s.begin()
			fmt.Fprintln(in, text)
		})
	})
	return s, func() {
		c.t.Helper()
		c.endSending()
		in.Close()
		select {
		case <-p.exited:
		case <-time.After(60 * time.Second):
			c.t.Fatal("send has not ended")
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			c.t.Fatalf("send ended with %d: %s", code, p.output)
		}
		for n := range s.all() {
			s.answered(n, "")
		}
		c.senders = append(c.senders, s)
	}
}

// sendAsOld sends in version 1, one message after another. What could not be handed over, since the proxy was not up, is no
// message; everything else has to be answered.
func (c *crowd) sendAsOld(user, to, ip string, g gate) {
	s := c.addSender(user+" in version 1", to)
	c.sending.Go(func() {
		c.sendAtPace(func() {
			conn, err := dialStream(ip, g.tcp, nil)
			if err != nil {
				return
			}
			n, text := s.begin()
			reply, err := oldSend(conn, user, "demo", to, text)
			switch {
			case err != nil:
				s.answered(n, err.Error())
			case strings.HasPrefix(reply, "ok;"):
				s.answered(n, "")
			default:
				s.answered(n, reply)
			}
		})
	})
}

// readAsOld reads in version 1.
func (c *crowd) readAsOld(user, ip string, g gate, gen generation) {
	c.t.Helper()
	c.addReader(user+" in version 1", user).old = startOldClient(c.t, user, ip, g, gen)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
