//go:build linux

package peers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// unanswered is how many messages of one stream are under way at most, where senders wait for answers.
const unanswered = 192

// text is what is sent: 100 bytes.
var text = strings.Repeat("x", 100)

// sender sends messages on a stream, many unanswered at a time, and only counts the answers: it is to cost little beside whom
// it measures.
type sender struct {
	conn   net.Conn
	out    *bufio.Writer
	user   string
	box    string
	sent   int
	window chan struct{} // a slot for each message that is unanswered

	ok, busy, refused atomic.Int64 // answers; refused are those that are neither
	refusal           atomic.Value // one of them
	ended             chan struct{}
}

// startSenders logs all senders in, and ends them with the test. So many messages of each are unanswered at most.
func startSenders(t *testing.T, c *cluster, window int) []*sender {
	t.Helper()
	var all []*sender
	for i, user := range userNames("send", senders) {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddress(i).AsSlice()}, Timeout: 10 * time.Second}
		conn, err := dialer.Dial("tcp", c.tcp)
		if err != nil {
			t.Fatal(err)
		}
		s := &sender{conn: conn, out: bufio.NewWriterSize(conn, 16<<10), user: user, box: fmt.Sprint("box", i%boxes),
			window: make(chan struct{}, window), ended: make(chan struct{})}
		fmt.Fprintf(conn, "poll;v=2;id=in;push=0:%s:%s:0\n", user, password)
		in := bufio.NewReaderSize(conn, 16<<10)
		if reply, err := in.ReadString('\n'); reply != "ok;id=in\n" {
			t.Fatalf("%s logs in and is answered %q, %v", user, reply, err)
		}
		go s.read(in)
		t.Cleanup(func() {
			conn.Close()
			<-s.ended
		})
		all = append(all, s)
	}
	return all
}

func (s *sender) read(in *bufio.Reader) {
	defer close(s.ended)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return
		case bytes.HasPrefix(line, []byte("ok;")):
			s.ok.Add(1)
			<-s.window
		case bytes.HasPrefix(line, []byte("ping;")):
			fmt.Fprintf(s.conn, "pong;%s", line[len("ping;"):])
		case bytes.HasPrefix(line, []byte("err;")):
			if bytes.Contains(line, []byte(":busy:")) {
				s.busy.Add(1)
			} else {
				s.refused.Add(1)
				s.refusal.Store(string(line))
			}
			<-s.window
		}
	}
}

// send sends one message once there is a slot for it. What is buffered goes out when the writer would wait. Ids begin with the
// time, as those of multichat's own clients do.
func (s *sender) send() error {
	select {
	case s.window <- struct{}{}:
	default:
		if err := s.out.Flush(); err != nil {
			return err
		}
		select {
		case s.window <- struct{}{}:
		case <-s.ended:
			return fmt.Errorf("%s: the stream has ended", s.user)
		}
	}
	s.sent++
	fmt.Fprintf(s.out, "wrmsg;id=%016x-%d;len=%d:::%s:", time.Now().UnixNano(), s.sent, len(text), s.box)
	io.WriteString(s.out, text)
	return s.out.WriteByte('\n')
}

// streamTurn has all senders send: at a rate of all of them together, or as fast as they are answered if it is 0. It returns what was
// stored, and how long that took.
func streamTurn(t *testing.T, all []*sender, rate float64, d time.Duration) (stored float64, took time.Duration) {
	t.Helper()
	before, begin := countAnswers(all), time.Now()
	var err error
	if rate > 0 {
		err = sendAtPace(all, rate, begin, d)
	} else {
		err = sendAtOnce(all, begin.Add(d))
	}
	if err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, 15*time.Second, func() error { // what is answered later is not left for the next contender's turn
		for _, s := range all {
			if n := len(s.window); n > 0 {
				return fmt.Errorf("%s waits for %d answers", s.user, n)
			}
		}
		return nil
	})
	took = time.Since(begin)
	got := countAnswers(all).minus(before)
	if got.busy+got.refused > 0 {
		t.Errorf("%d messages were answered busy, and %d refused otherwise, one of them: %v", got.busy, got.refused, oneRefusal(all))
	}
	return float64(got.ok), took
}

// answers are how many messages were answered how.
type answers struct{ ok, busy, refused int64 }

func countAnswers(all []*sender) (n answers) {
	for _, s := range all {
		n.ok, n.busy, n.refused = n.ok+s.ok.Load(), n.busy+s.busy.Load(), n.refused+s.refused.Load()
	}
	return n
}

func (a answers) minus(b answers) answers {
	return answers{a.ok - b.ok, a.busy - b.busy, a.refused - b.refused}
}

// oneRefusal is one of the answers that were neither ok nor busy, nil if there were none.
func oneRefusal(all []*sender) any {
	for _, s := range all {
		if r := s.refusal.Load(); r != nil {
			return r
		}
	}
	return nil
}

func sendAtOnce(all []*sender, until time.Time) error {
	errs := make(chan error, len(all))
	var group sync.WaitGroup
	for _, s := range all {
		group.Go(func() {
			for time.Now().Before(until) {
				if err := s.send(); err != nil {
					errs <- err
					return
				}
			}
			errs <- s.out.Flush()
		})
	}
	group.Wait()
	for range all {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// sendAtPace has the senders take turns.
func sendAtPace(all []*sender, rate float64, begin time.Time, d time.Duration) error {
	for sent := 0; time.Since(begin) < d; time.Sleep(500 * time.Microsecond) {
		for due := int(rate * time.Since(begin).Seconds()); sent < due; sent++ {
			s := all[sent%len(all)]
			if err := s.send(); err != nil {
				return err
			}
			if err := s.out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
