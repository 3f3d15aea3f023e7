package edge_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// echo answers each send before the next frame is read.
type echo struct{ client edge.StreamClient }

func (e echo) Send(ref uint64, _ edge.StreamMessage) { e.client.Answer(ref, chat.Seq(ref), nil) }

func (echo) Ack(uint64, chat.Mailbox, chat.Seq) {}

func (echo) Close() {}

type echoHandler struct{ *handler }

func (echoHandler) Login(_ context.Context, _ edge.Caller, _ edge.Login, c edge.StreamClient) (edge.Stream, error) {
	return echo{c}, nil
}

// Sends of 100 bytes through one stream, at most 1000 of them unanswered.
func BenchmarkPipelinedSends(b *testing.B) {
	n := serveHandler(b, echoHandler{}, edge.Config{})
	c := n.stream(b)
	c.SetDeadline(time.Time{})
	c.say(b, "poll;v=2;id=in:alice:secret:0\n")
	c.want(b, "ok;id=in\n")
	frame := wrmsg("0123456789abcdef", "bob", strings.Repeat("x", 100))
	window := make(chan struct{}, 1000)
	read := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			if _, err := c.in.ReadSlice('\n'); err != nil {
				read <- err
				return
			}
			<-window
		}
		read <- nil
	}()
	out := bufio.NewWriterSize(c, 16<<10)
	for range b.N {
		select {
		case window <- struct{}{}:
		default:
			out.Flush()
			window <- struct{}{}
		}
		io.WriteString(out, frame)
	}
	out.Flush()
	if err := <-read; err != nil {
		b.Fatal(err)
	}
}

// What an idle stream costs, both of its ends together: over TCP, the client's is its socket alone.
func BenchmarkIdleStream(b *testing.B) {
	b.Run("TCP", func(b *testing.B) {
		n := serveHandler(b, echoHandler{}, edge.Config{})
		benchmarkIdleStreams(b, func() net.Conn { return n.dial(b) })
	})
	b.Run("TLS", func(b *testing.B) {
		files := newCertificates(b)
		n := serveHandler(b, echoHandler{}, edge.Config{TLS: "127.0.0.1:0", TLSCert: files.certFile, TLSKey: files.keyFile})
		benchmarkIdleStreams(b, func() net.Conn { return n.dialTLS(b, 0) })
	})
}

func benchmarkIdleStreams(b *testing.B, dial func() net.Conn) {
	const streams = 2000
	conns := make([]net.Conn, streams)
	var before, after runtime.MemStats
	settle(&before)
	for b.Loop() { // there is nothing to repeat
	}
	for i := range conns {
		conns[i] = dial()
		conns[i].SetDeadline(time.Time{})
		io.WriteString(conns[i], "poll;v=2;id=in:alice:secret:0\n")
		var answer [len("ok;id=in\n")]byte
		io.ReadFull(conns[i], answer[:])
	}
	goroutines := runtime.NumGoroutine()
	settle(&after)
	b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/streams, "heap-B/stream")
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/streams, "stack-B/stream")
	b.ReportMetric(float64(goroutines)/streams, "goroutines/stream")
	for _, conn := range conns {
		conn.Close()
	}
}

// settle collects what is not used, several times, since stacks shrink by half each time.
func settle(m *runtime.MemStats) {
	for range 5 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	runtime.ReadMemStats(m)
}
