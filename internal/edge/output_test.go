package edge

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// text appends s.
func text(s string) func([]byte) []byte { return func(b []byte) []byte { return append(b, s...) } }

// newTestOutput has a client that reads when the test says so, since a pipe has no buffers.
func newTestOutput(t *testing.T) (*output, net.Conn, *atomic.Int64) {
	t.Helper()
	client, conn := net.Pipe()
	total := new(atomic.Int64)
	o := &output{conn: conn, total: total, failed: func(error) {}}
	t.Cleanup(func() {
		client.Close()
		o.seal(false, nil)
		o.flush(t.Context(), time.Minute)
		if left := total.Load(); left != 0 {
			t.Errorf("%d bytes are still counted", left)
		}
	})
	return o, client, total
}

func mustAdd(t *testing.T, o *output, s string) {
	t.Helper()
	if err := o.add(text(s)); err != nil {
		t.Fatal(err)
	}
}

func wantRead(t *testing.T, client io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(client, got); string(got) != want {
		t.Fatalf("the client reads %.40q, %v; want %.40q", got[:n], err, want)
	}
}

func TestLinesThatGatheredGoOutTogether(t *testing.T) {
	o, client, _ := newTestOutput(t)
	mustAdd(t, o, "first\n")
	wantRead(t, client, "f") // now the writer is in the middle of its write
	for range 100 {
		mustAdd(t, o, "x\n")
	}
	wantRead(t, client, "irst\n")
	got := make([]byte, 1000)
	if n, err := client.Read(got); n != 200 || err != nil {
		t.Errorf("the next write has %d bytes, %v", n, err)
	}
}

func TestIdleOutputHoldsNothing(t *testing.T) {
	o, client, _ := newTestOutput(t)
	mustAdd(t, o, "line\n")
	wantRead(t, client, "line\n")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		idle := !o.writing && o.waiting == nil
		o.mu.Unlock()
		if idle {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the writer goes on, or keeps a buffer")
		}
	}
}

func TestOutputTakesLinesUpToItsBound(t *testing.T) {
	o, client, total := newTestOutput(t)
	mustAdd(t, o, strings.Repeat("x", maxOutput))
	if err := o.add(text("y")); err != errSlow {
		t.Errorf("one byte more: %v", err)
	}
	if n := total.Load(); n != maxOutput {
		t.Errorf("%d bytes are counted", n)
	}
	read := make([]byte, pieceBytes)
	if _, err := io.ReadFull(client, read); err != nil {
		t.Fatal(err)
	}
	wantRead(t, client, "x") // the next piece has begun, so the former is counted as written
	mustAdd(t, o, strings.Repeat("y", pieceBytes))
	if err := o.add(text("y")); err != errSlow {
		t.Errorf("one byte more than was written: %v", err)
	}
	o.seal(false, text("the last word is always taken\n"))
	rest, want := make([]byte, maxOutput-pieceBytes-1), strings.Repeat("x", maxOutput-pieceBytes-1)
	if _, err := io.ReadFull(client, rest); err != nil || !bytes.Equal(rest, []byte(want)) {
		t.Errorf("the rest is not what was added: %v", err)
	}
	wantRead(t, client, strings.Repeat("y", pieceBytes)+"the last word is always taken\n")
}

func TestOutputsTogetherHaveABound(t *testing.T) {
	o, _, total := newTestOutput(t)
	const others = maxOutputs
	total.Add(others)
	mustAdd(t, o, strings.Repeat("x", fairOutput))
	if err := o.add(text("y")); err != errSlow {
		t.Errorf("more than a fair share: %v", err)
	}
	total.Add(-others)
	mustAdd(t, o, "y")
}

func TestSlowOutputForgetsWhatWasNotBegun(t *testing.T) {
	o, client, _ := newTestOutput(t)
	mustAdd(t, o, "first\n")
	wantRead(t, client, "f")
	mustAdd(t, o, "second\n")
	o.seal(true, text("the end\n"))
	if err := o.add(text("third\n")); err != errSealed {
		t.Errorf("after the end: %v", err)
	}
	o.seal(false, text("another end\n"))
	wantRead(t, client, "irst\nthe end\n")
	if !o.flush(t.Context(), time.Minute) {
		t.Error("not all was written")
	}
}

func TestHeldOutputWaits(t *testing.T) {
	o, client, _ := newTestOutput(t)
	o.held = true
	mustAdd(t, o, "first\n")
	o.seal(false, text("the end\n"))
	if o.writing {
		t.Error("it is written before it is released")
	}
	o.release()
	wantRead(t, client, "first\nthe end\n")
}

func TestOutputOfABrokenConnectionFailsOnce(t *testing.T) {
	o, client, total := newTestOutput(t)
	failures := make(chan error, 2)
	o.failed = func(err error) { failures <- err }
	client.Close()
	mustAdd(t, o, "line\n")
	<-failures
	if o.flush(t.Context(), time.Minute) {
		t.Error("a broken connection has taken all")
	}
	if err := o.add(text("line\n")); err != errSealed {
		t.Errorf("a line is added: %v", err)
	}
	if n := total.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
	if len(failures) > 0 {
		t.Error("it failed twice")
	}
}

func TestOutputIsTakenFromMany(t *testing.T) {
	o, client, _ := newTestOutput(t)
	var adding, reading sync.WaitGroup
	var read int64
	reading.Go(func() { read, _ = io.Copy(io.Discard, client) })
	const adders, lines = 8, 500
	for range adders {
		adding.Go(func() {
			for range lines {
				mustAdd(t, o, "a line\n")
			}
		})
	}
	adding.Wait()
	o.seal(false, nil)
	if !o.flush(t.Context(), time.Minute) {
		t.Error("not all was written")
	}
	o.conn.Close()
	if reading.Wait(); read != adders*lines*7 {
		t.Errorf("%d bytes were read", read)
	}
}
