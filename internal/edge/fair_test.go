package edge

import (
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/metrics"
	"multichat/internal/wire"
)

// floods are clients that say more than anybody can read, and take all that they are told.
type floods struct {
	mu      sync.Mutex
	reads   int // of all
	last    *flood
	row     int // reads of the last one that nobody else's came between
	longest int // such row
	enough  int // reads, after which the clients are gone
}

type flood struct {
	net.Conn
	of *floods
}

var pings = []byte(strings.Repeat("ping\n", readBuffer))

func (f *flood) Read(b []byte) (int, error) {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	if f.of.reads++; f.of.reads > f.of.enough {
		return 0, net.ErrClosed
	}
	if f.of.last != f {
		f.of.last, f.of.row = f, 0
	}
	f.of.row++
	f.of.longest = max(f.of.longest, f.of.row)
	return copy(b, pings), nil
}

func (f *flood) Write(b []byte) (int, error)      { return len(b), nil }
func (f *flood) SetReadDeadline(time.Time) error  { return nil }
func (f *flood) SetWriteDeadline(time.Time) error { return nil }

// deaf is a stream that does nothing.
type deaf struct{}

func (deaf) Send(uint64, StreamMessage)         {}
func (deaf) Ack(uint64, chat.Mailbox, chat.Seq) {}
func (deaf) Close()                             {}

// What always has input would else be served for 10 ms at a time, and what waits for the network gets a turn after 61 of
// those: a link of this process to a server would look dead.
func TestStreamsThatNeverRunOutOfInputTakeTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := newConnServer(Config{Metrics: metrics.New()}.withDefaults())
	all := &floods{enough: 500}
	var reading sync.WaitGroup
	for range 3 {
		c := newStreamConn(&flood{of: all}, netip.Addr{}, wire.Login{ID: "in", User: "alice"}, s)
		in := newInput(t.Context(), c.conn)
		reading.Go(func() {
			c.begin(deaf{}, in)
			c.takeFrames()
			c.out.flush(t.Context(), time.Minute)
		})
	}
	reading.Wait()
	if all.longest > 3 {
		t.Errorf("one was read from %d times in a row", all.longest)
	}
}
