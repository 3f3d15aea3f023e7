package remote

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"multichat/internal/chaos"
	"multichat/internal/chat"
	"multichat/internal/checker"
)

// Serve is one client, at this address, until the driver of the run at the other end of conn ends it.
func Serve(ctx context.Context, conn net.Conn, number int, addr netip.Addr) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &teller{buffer: bufio.NewWriter(conn)}
	out.gob = gob.NewEncoder(out.buffer)
	in := gob.NewDecoder(conn)
	if err := out.gob.Encode(hello{Number: number}); err != nil {
		return err
	}
	var beating sync.WaitGroup
	beating.Go(func() { out.beatUntil(ctx) })
	err := work(ctx, in, out, number, addr)
	cancel()
	beating.Wait()
	out.tell(line{}) // the last beat
	return errors.Join(err, out.flush())
}

// work does what the driver says until that is to end.
func work(ctx context.Context, in *gob.Decoder, out *teller, number int, addr netip.Addr) error {
	var task Task
	if err := in.Decode(&task); err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	load := chaos.NewLoad(chaos.LoadConfig{
		Seed: task.Seed, Proxies: task.Proxies, Users: task.Users, Password: chat.NewSecret(task.Password),
		Streams: task.Streams, Libraries: task.Libraries, Olds: task.Olds, Rate: task.Rate,
		First: addr, Only: number, Journal: out, Log: slog.New(slog.DiscardHandler),
	})
	if err := load.Begin(ctx); err != nil {
		out.tell(line{Failed: err.Error()})
		return errors.Join(err, load.End())
	}
	out.tell(line{Begun: true})
	err := obey(in, load)
	if ended := load.End(); ended != nil {
		out.tell(line{Failed: ended.Error()})
		err = errors.Join(err, ended)
	}
	return err
}

func obey(in *gob.Decoder, load *chaos.Load) error {
	for {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return errors.New("the driver has gone")
		} else if err != nil {
			return fmt.Errorf("reading an order: %w", err)
		}
		switch o {
		case send:
			load.Send()
		case pause:
			load.Pause()
		case end:
			return nil
		}
	}
}

// teller tells the driver what happens. It implements [chaos.Journal]. The driver reads all the time, so that telling keeps
// no client waiting.
type teller struct {
	mu     sync.Mutex
	buffer *bufio.Writer
	gob    *gob.Encoder
	err    error // the first one; nothing is told after it
}

// Add tells of a record, as of now.
func (t *teller) Add(r checker.Record) { t.tell(line{Record: r}) }

// tell gives a line the time that it has; no later one has an earlier time.
func (t *teller) tell(l line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.Record.At = chaos.Clock()
	if t.err == nil {
		t.err = t.gob.Encode(l)
	}
}

func (t *teller) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = t.buffer.Flush()
	}
	return t.err
}

// beatUntil sends what there is to tell, and a beat with it. What goes wrong is said at the end.
func (t *teller) beatUntil(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.tell(line{})
			t.flush()
		}
	}
}
