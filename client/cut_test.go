package client

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// system is a small multichat: it stores what it is sent once by id, and gives alice what she has not acknowledged. Each
// of its first connections is cut after so many frames, of both directions together. All of it belongs to serve while that
// runs.
type system struct {
	t       *testing.T
	cuts    int // connections that are still to be cut
	frames  int // after which they are
	served  int // frames of the connection that lasts
	waiting []chat.Message

	stored []string // texts, in the order stored
	ids    map[chat.MessageID]chat.Seq
	acked  chat.Seq
	logins int
}

// serve serves one connection after another until the listener is closed.
func (y *system) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		y.attend(conn)
		conn.Close()
	}
}

func (y *system) attend(conn net.Conn) {
	left := -1
	if y.cuts > 0 {
		y.cuts--
		left = y.frames
	}
	y.served = 0
	cut := func() bool { // asked at each boundary between two frames
		if left == 0 {
			return true
		}
		left--
		y.served++
		return false
	}
	r := bufio.NewReader(conn)
	for {
		if cut() {
			return
		}
		got, err := wire.ReadFrame(r, wire.Limits{})
		if err != nil {
			return
		}
		for _, answer := range y.take(got) {
			if cut() {
				return
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}
}

// take does what a frame asks for and says what is to be written.
func (y *system) take(f wire.Frame) (answers [][]byte) {
	switch f := f.(type) {
	case wire.Login:
		y.logins++
		answers = append(answers, wire.AppendOK(nil, f.ID, 0))
		for _, m := range y.waiting {
			if m.Seq > y.acked {
				answers = append(answers, wire.AppendMessage(nil, m))
			}
		}
	case wire.Wrmsg:
		seq, known := y.ids[f.ID]
		if !known {
			y.stored = append(y.stored, string(f.Text))
			seq = chat.Seq(len(y.stored))
			y.ids[f.ID] = seq
		}
		answers = append(answers, wire.AppendOK(nil, f.ID, seq))
	case wire.Ack:
		y.acked = max(y.acked, f.Seq)
		if f.ID != "" {
			answers = append(answers, wire.AppendOK(nil, f.ID, 0))
		}
	case wire.Ping:
		answers = append(answers, wire.AppendPong(nil, f.ID))
	case wire.Bye:
	default:
		y.t.Errorf("the client sent %#v", f)
	}
	return answers
}

// Wherever connections are cut, each message is stored once and in order, and taken once and in order.
func TestNoCutLosesOrDoublesAnything(t *testing.T) {
	const n = 4 // messages each way
	whole := runCut(t, n, 0, 0)
	for frames := range whole + 1 {
		for _, cuts := range []int{1, 3} {
			t.Run(fmt.Sprintf("%d connections after %d frames", cuts, frames), func(t *testing.T) {
				runCut(t, n, cuts, frames)
			})
		}
	}
}

// runCut has n messages sent and n taken, and says how many frames the connection that lasted had.
func runCut(t *testing.T, n, cuts, frames int) int {
	proxy := newPeer(t)
	y := &system{t: t, cuts: cuts, frames: frames, ids: make(map[chat.MessageID]chat.Seq)}
	var texts []string
	for i := range n {
		y.waiting = append(y.waiting, message(chat.Seq(10+i), "a"))
		texts = append(texts, fmt.Sprint("text ", i))
	}
	// As many proxies as connections, so that one round of cuts before any answer does not look like nobody's being there.
	proxies := slices.Repeat([]Address{proxy.address()}, cuts+1)
	s := serve(t, func(s *Stream) { s.pace.farewell = patience }, proxies...)
	var running sync.WaitGroup
	running.Go(func() { y.serve(proxy.tcp) })
	defer running.Wait()
	defer proxy.tcp.Close()

	outcomes := make(chan outcome, n+1)
	s.post(outcomes, texts...)
	if err := s.Flush(testContext(t)); err != nil {
		t.Fatalf("not everything was answered: %v", err)
	}
	for i := range n {
		s.wantTaken(chat.Seq(10 + i))
	}
	s.cancel()
	s.wantEnd()
	proxy.tcp.Close()
	running.Wait()
	if len(outcomes) != n {
		t.Errorf("%d of %d were told of", len(outcomes), n)
	}
	for range n {
		o := <-outcomes
		if o.err != nil || y.ids[o.result.ID] != o.result.Seq || y.stored[o.result.Seq-1] != o.text {
			t.Errorf("told of %+v", o)
		}
	}
	if !slices.Equal(y.stored, texts) {
		t.Errorf("stored is %q", y.stored)
	}
	if len(s.taken) != 0 {
		t.Errorf("%d came again", len(s.taken))
	}
	if last := chat.Seq(10 + n - 1); y.acked != last {
		t.Errorf("what was taken is acknowledged up to %d, want %d", y.acked, last)
	}
	if y.logins == 0 || y.logins > cuts+1 {
		t.Errorf("%d logins for %d cuts", y.logins, cuts)
	}
	return y.served
}
