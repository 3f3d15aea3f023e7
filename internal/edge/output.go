package edge

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxOutput is how many bytes may wait for one client: the 256 KiB of each mailbox that a stream is given ahead of its
	// acks, and 1 MiB for answers, of which 1024 may be due at once.
	maxOutput = 2*256<<10 + 1<<20

	// maxOutputs is the same for all clients of an edge together. When so much waits, whoever has more than fairOutput
	// waiting is slow: so a crowd that does not read takes no more memory than that.
	maxOutputs = 256 << 20
	fairOutput = 64 << 10

	// A client that takes less than a piece in writeTimeout is slow. That is about 1 KiB/s.
	pieceBytes   = 16 << 10
	writeTimeout = 15 * time.Second

	keptBytes = 64 << 10 // a buffer that has grown beyond is not used again
)

// Why an output takes nothing more.
var (
	errSlow   = errors.New("too much waits for the client to read")
	errSealed = errors.New("the last word is said")
)

// output gathers lines for one client. A goroutine writes them, for as long as there are any; what gathers while it
// writes goes out with its next write. The owner waits for it with flush.
type output struct {
	conn   net.Conn
	total  *atomic.Int64 // bytes that wait in all outputs of the edge
	failed func(error)   // called once, by the writer, when the connection takes nothing more

	mu       sync.Mutex
	waiting  []byte        // lines that the writer has not taken; nil if there are none
	inFlight int           // bytes that the writer has taken and the connection has not
	held     bool          // nothing is written yet
	sealed   bool          // nothing more is taken
	broken   bool          // a write has failed
	writing  bool          // the writer runs
	until    time.Time     // by when all must be written; zero: there is no such time
	idle     chan struct{} // closed when the writer ends; nil: nobody waits for that
}

// add appends lines, all of them or none. The error is errSlow if there is no room for them, or errSealed.
func (o *output) add(lines func([]byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed || o.broken {
		return errSealed
	}
	before := len(o.waiting)
	o.appendLocked(lines)
	size, total := len(o.waiting)+o.inFlight, o.total.Load()
	if size > maxOutput || size > fairOutput && total > maxOutputs {
		o.total.Add(int64(before - len(o.waiting)))
		o.waiting = o.waiting[:before]
		return errSlow
	}
	o.wakeLocked()
	return nil
}

// seal appends the last lines, if any, for which there is always room, and takes nothing after them. With drop it forgets
// what the writer has not taken yet.
func (o *output) seal(drop bool, lines func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed || o.broken {
		return
	}
	o.sealed = true
	if drop {
		o.dropLocked()
	}
	if lines != nil {
		o.appendLocked(lines)
		o.wakeLocked()
	}
}

func (o *output) appendLocked(lines func([]byte) []byte) {
	if o.waiting == nil {
		o.waiting = newBuffer()
	}
	before := len(o.waiting)
	o.waiting = lines(o.waiting)
	o.total.Add(int64(len(o.waiting) - before))
}

func (o *output) dropLocked() {
	o.total.Add(-int64(len(o.waiting)))
	o.waiting = nil
}

// replaceHeld makes lines all that is ever written, in the place of what was held. If the connection takes nothing more,
// nothing is.
func (o *output) replaceHeld(lines func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return
	}
	o.dropLocked()
	o.appendLocked(lines)
	o.sealed, o.held = true, false
	o.wakeLocked()
}

// release begins to write what was held.
func (o *output) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
	o.wakeLocked()
}

func (o *output) wakeLocked() {
	if !o.held && !o.writing && len(o.waiting) > 0 {
		o.writing = true
		go o.write() // flush waits for it
	}
}

// write is the writer.
func (o *output) write() {
	for {
		lines := o.next()
		if lines == nil {
			return
		}
		for piece := range slices.Chunk(lines, pieceBytes) {
			if err := o.writePiece(piece); err != nil {
				o.fail(err)
				return
			}
		}
		keepBuffer(lines)
	}
}

// next takes what waits, or ends the writer.
func (o *output) next() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		o.endLocked()
		return nil
	}
	lines := o.waiting
	o.waiting, o.inFlight = nil, len(lines)
	return lines
}

func (o *output) writePiece(piece []byte) error {
	o.setDeadline()
	if _, err := o.conn.Write(piece); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writtenLocked(len(piece))
	return nil
}

// setDeadline holds the lock, so that it never puts a later time over that of finishBy.
func (o *output) setDeadline() {
	o.mu.Lock()
	defer o.mu.Unlock()
	deadline := time.Now().Add(writeTimeout)
	if !o.until.IsZero() && o.until.Before(deadline) {
		deadline = o.until
	}
	o.conn.SetWriteDeadline(deadline)
}

func (o *output) writtenLocked(bytes int) {
	o.inFlight -= bytes
	o.total.Add(-int64(bytes))
}

func (o *output) fail(err error) {
	o.mu.Lock()
	o.broken = true
	o.dropLocked()
	o.writtenLocked(o.inFlight)
	o.mu.Unlock()
	o.failed(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endLocked()
}

func (o *output) endLocked() {
	o.writing = false
	if o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// flush waits until a sealed output is written, for patience at most and replyTimeout once ctx has ended, and says
// whether it was. Then the writer has ended for good.
func (o *output) flush(ctx context.Context, patience time.Duration) bool {
	idle := o.finishBy(time.Now().Add(patience))
	select {
	case <-idle:
	case <-ctx.Done():
		o.finishBy(time.Now().Add(min(patience, replyTimeout)))
		<-idle
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.broken
}

func (o *output) finishBy(until time.Time) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.until.IsZero() || until.Before(o.until) {
		o.until = until
		o.conn.SetWriteDeadline(until)
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle
	if !o.writing {
		o.endLocked()
	}
	return idle
}

// outputBuffers are for clients to whom something is being written: one who is idle has none.
var outputBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

func newBuffer() []byte { return (*outputBuffers.Get().(*[]byte))[:0] }

func keepBuffer(b []byte) {
	if cap(b) <= keptBytes {
		outputBuffers.Put(&b)
	}
}
