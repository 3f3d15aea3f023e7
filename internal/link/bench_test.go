package link

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// plainPair is pair without TLS, to see what it costs.
func plainPair(b *testing.B, server ListenConfig, proxy DialConfig) *Conn {
	server.Identity = identity(b, key("k"))
	server.Name = "server-1"
	if server.Handler == nil {
		server.Handler = handler{}
	}
	l, err := Listen("127.0.0.1:0", server)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.tcp.Accept()
	if err != nil {
		b.Fatal(err)
	}
	end := l.newEnd(far, newFrameReader(far), aServer, aProxy)
	start(b, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { end.s.stop(ctx.Err()) })()
		return end.serve(ctx)
	})
	conn := newConn(near, newFrameReader(near), aProxy, aServer, withDialDefaults(b, proxy).withDefaults())
	start(b, conn.Serve)
	return conn
}

var pairs = map[string]func(*testing.B, ListenConfig, DialConfig) *Conn{
	"tls":   func(b *testing.B, s ListenConfig, p DialConfig) *Conn { return pair(b, s, p) },
	"plain": plainPair,
}

func BenchmarkPoll(b *testing.B) {
	for name, pair := range pairs {
		b.Run(name, func(b *testing.B) {
			var arrived atomic.Int64
			counters := new(Counters)
			conn := pair(b, ListenConfig{Handler: handler{poll: func(edge.Caller, wire.Poll, edge.Pusher) {
				arrived.Add(1)
			}}}, DialConfig{Counters: counters})
			b.ReportAllocs()
			for b.Loop() {
				for !conn.Poll(aCaller, aPoll) {
					runtime.Gosched() // the rate is to be what the link carries, not what is offered
				}
			}
			eventually(b, "all polls have arrived", func() bool { return arrived.Load() == counters.Polls.Load() })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "polls/s")
			b.ReportMetric(float64(counters.Polls.Load())/float64(counters.Writes.Load()), "polls/write")
		})
	}
}

func BenchmarkSend(b *testing.B) {
	for name, pair := range pairs {
		b.Run(name, func(b *testing.B) {
			conn := pair(b, ListenConfig{}, DialConfig{})
			b.ReportAllocs()
			var wg sync.WaitGroup
			turns := make(chan struct{})
			for range 256 { // senders that wait for their answers
				wg.Go(func() {
					for range turns {
						if _, err := conn.Send(context.Background(), aCaller, aMessage); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				turns <- struct{}{}
			}
			close(turns)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
		})
	}
}

func BenchmarkSendAlone(b *testing.B) {
	conn := pair(b, ListenConfig{}, DialConfig{})
	for b.Loop() {
		if _, err := conn.Send(context.Background(), aCaller, aMessage); err != nil {
			b.Fatal(err)
		}
	}
}

// Sends of one stream, as many under way as an edge allows.
func BenchmarkStreamSend(b *testing.B) {
	for name, pair := range pairs {
		b.Run(name, func(b *testing.B) {
			h := loginHandler(func(_ context.Context, client edge.StreamClient) (edge.Stream, error) {
				return streamFunc(func(ref uint64, _ edge.StreamMessage) { client.Answer(ref, 1, nil) }), nil
			})
			conn := pair(b, ListenConfig{Handler: h}, DialConfig{})
			turns := make(chan struct{}, 1024)
			for range cap(turns) {
				turns <- struct{}{}
			}
			stream := login(b, conn, client{answer: func(uint64, chat.Seq, *chat.Error) { turns <- struct{}{} }})
			m := edge.StreamMessage{ID: aMessage.ID, To: aMessage.To, Text: aMessage.Text}
			b.ReportAllocs()
			var ref uint64
			for b.Loop() {
				<-turns
				ref++
				stream.Send(ref, m)
			}
			for range cap(turns) {
				<-turns
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
		})
	}
}

// One message to each of many streams, as a broadcast goes.
func BenchmarkDeliver(b *testing.B) {
	const streams = 1000
	for name, pair := range pairs {
		b.Run(name, func(b *testing.B) {
			h, served := openAll()
			conn := pair(b, ListenConfig{Handler: h}, DialConfig{})
			var arrived atomic.Int64
			var backs []edge.StreamClient
			for range streams {
				login(b, conn, client{deliver: func([]chat.Message) bool { arrived.Add(1); return true }})
				backs = append(backs, (<-served).client)
			}
			messages := []chat.Message{message(1, everyByteButNUL(100))}
			b.ReportAllocs()
			given := 0
			for b.Loop() {
				for !backs[given%streams].Deliver(messages) {
					runtime.Gosched() // the rate is to be what the link carries, not what is offered
				}
				given++
			}
			eventually(b, "all have arrived", func() bool { return arrived.Load() == int64(given) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
