package link

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func encodeText(text string) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, text...) }
}

// kinds takes what next gave apart.
func kinds(t *testing.T, b []byte) (ks []kind) {
	t.Helper()
	in := newFrameReader(bytes.NewReader(b))
	for range len(b) {
		f, err := in.next(maxFrame)
		if err != nil {
			break
		}
		ks = append(ks, f.kind)
	}
	return ks
}

func mustNext(t *testing.T, o *outbox) []byte {
	t.Helper()
	b, ok := o.next()
	if !ok {
		t.Fatal("the outbox is empty and closed")
	}
	return b
}

func TestFramesThatGatheredGoOutTogether(t *testing.T) {
	o := newOutbox(1 << 20)
	for range 100 {
		if err := o.add(kindPoll, 0, encodeText("x")); err != nil {
			t.Fatal(err)
		}
	}
	if ks := kinds(t, mustNext(t, o)); len(ks) != 100 {
		t.Errorf("the first write has %d frames, want 100", len(ks))
	}
}

func TestPingsOvertakeWhatWaits(t *testing.T) {
	o := newOutbox(1 << 20)
	text := string(make([]byte, pieceBytes/2))
	for range 4 {
		if err := o.add(kindPush, 1, encodeText(text)); err != nil {
			t.Fatal(err)
		}
	}
	if ks := kinds(t, mustNext(t, o)); len(ks) != 1 || ks[0] != kindPush {
		t.Fatalf("first came %v, want one push: two are more than a piece", ks)
	}
	o.addUrgent(kindPong, 1)
	if ks := kinds(t, mustNext(t, o)); len(ks) != 1 || ks[0] != kindPong {
		t.Errorf("then came %v, want the pong", ks)
	}
	if ks := kinds(t, mustNext(t, o)); len(ks) != 1 || ks[0] != kindPush {
		t.Errorf("then came %v, want the next push", ks)
	}
}

func TestWhatIsLeastHarmIsRefusedFirst(t *testing.T) {
	const max = 1000
	o := newOutbox(max)
	fill := func(k kind) (bytes int) {
		for o.add(k, 1, encodeText("0123456789")) == nil {
		}
		return len(o.bulk) + len(o.rest)
	}
	frame := lengthLen + headLen + 10
	for _, step := range []struct {
		kind kind
		room int
	}{
		{kindPoll, max / 2}, {kindDeliver, max / 2}, {kindTicket, max / 2},
		{kindSend, max}, {kindPush, max}, {kindLogin, max}, {kindStreamSend, max}, {kindAck, max},
		{kindReply, 2 * max}, {kindWelcome, 2 * max}, {kindAnswer, 2 * max}, {kindEnd, 2 * max},
		{kindClose, 2 * max},
	} {
		if n := fill(step.kind); n < step.room || n >= step.room+frame {
			t.Errorf("kind %d filled the queue to %d bytes, want %d or up to a frame more", step.kind, n, step.room)
		}
	}
	mustNext(t, o)
	if err := o.add(kindPoll, 0, encodeText("x")); err != nil {
		t.Errorf("after the queue was written: %v", err)
	}
}

func TestWhatIsBeingWrittenPieceByPieceCounts(t *testing.T) {
	o := newOutbox(4 * pieceBytes)
	for o.add(kindSend, 1, encodeText(string(make([]byte, pieceBytes-100)))) == nil {
	}
	mustNext(t, o)
	if err := o.add(kindPoll, 0, encodeText("x")); err != errFull {
		t.Errorf("a poll after one of four pieces was written: %v, want %v", err, errFull)
	}
}

func TestUrgentIsBounded(t *testing.T) {
	o := newOutbox(1000)
	for id := range uint64(10_000) {
		o.addUrgent(kindPong, id)
	}
	if n := len(mustNext(t, o)); n > urgentBytes {
		t.Errorf("%d bytes of pongs were waiting, want at most %d", n, urgentBytes)
	}
}

func TestTooLargeFrameLeavesTheQueueAsItWas(t *testing.T) {
	o := newOutbox(1 << 20)
	if err := o.add(kindSend, 1, encodeText("before")); err != nil {
		t.Fatal(err)
	}
	if err := o.add(kindSend, 2, encodeText(string(make([]byte, maxFrame)))); err != errFrameTooLarge {
		t.Errorf("got %v, want %v", err, errFrameTooLarge)
	}
	if got, want := mustNext(t, o), rawFrame(kindSend, 1, "before"); !bytes.Equal(got, want) {
		t.Errorf("the queue holds %d bytes, want only the frame before", len(got))
	}
}

func TestPartsAreQueuedAllOrNone(t *testing.T) {
	o := newOutbox(2000)
	parts := func(n, size int) error {
		return o.addParts(kindDeliver, 1, func(b []byte) ([]byte, bool) {
			n--
			return append(b, make([]byte, size)...), n > 0
		})
	}
	if err := parts(30, 100); err != nil {
		t.Errorf("an empty queue does not take all parts, though they are more than its bound: %v", err)
	}
	if err := parts(1, 0); err != errFull {
		t.Errorf("got %v, want %v", err, errFull)
	}
	if ks := kinds(t, mustNext(t, o)); len(ks) != 30 {
		t.Errorf("%d frames were queued, want 30", len(ks))
	}
	if err := parts(2, maxFrame); err != errFrameTooLarge {
		t.Errorf("got %v, want %v", err, errFrameTooLarge)
	}
	o.close()
	if b, ok := o.next(); ok {
		t.Errorf("%d bytes of parts that do not fit are queued", len(b))
	}
}

func TestClosedOutboxGivesWhatIsLeft(t *testing.T) {
	o := newOutbox(1 << 20)
	if err := o.add(kindReply, 1, encodeText("last")); err != nil {
		t.Fatal(err)
	}
	o.addUrgent(kindPong, 1)
	o.close()
	if err := o.add(kindReply, 2, encodeText("later")); err != errClosed {
		t.Errorf("adding to a closed outbox: %v, want %v", err, errClosed)
	}
	if ks := kinds(t, append(bytes.Clone(mustNext(t, o)), mustNext(t, o)...)); len(ks) != 2 {
		t.Errorf("what was left is %v, want a pong and a reply", ks)
	}
	if b, ok := o.next(); ok {
		t.Errorf("got %d bytes more, want the end", len(b))
	}
}

// Polls wait for others, and nothing waits for polls.
func TestPollsGatherForAMoment(t *testing.T) {
	gathering := func(name string, most time.Duration, want []kind, fill func(o *outbox, add func(kind, string))) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutbox(1 << 20)
				defer o.close()
				begin := time.Now()
				fill(o, func(k kind, text string) {
					if err := o.add(k, 0, encodeText(text)); err != nil {
						t.Fatal(err)
					}
				})
				if got := kinds(t, mustNext(t, o)); !slices.Equal(got, want) {
					t.Errorf("the first write has %v, want %v", got, want)
				}
				if took := time.Since(begin); took != most {
					t.Errorf("it came after %v, want %v", took, most)
				}
			})
		})
	}
	gathering("alone", pollGatherTime, []kind{kindPoll, kindPoll}, func(o *outbox, add func(kind, string)) {
		add(kindPoll, "a")
		add(kindPoll, "b")
	})
	gathering("one that comes later", pollGatherTime, []kind{kindPoll, kindPoll}, func(o *outbox, add func(kind, string)) {
		add(kindPoll, "a")
		time.Sleep(pollGatherTime / 2)
		add(kindPoll, "b")
	})
	gathering("with another frame", 0, []kind{kindPoll, kindSend}, func(o *outbox, add func(kind, string)) {
		add(kindPoll, "a")
		add(kindSend, "b")
	})
	gathering("more than is written at once", 0, []kind{kindPoll}, func(o *outbox, add func(kind, string)) {
		add(kindPoll, string(make([]byte, pieceBytes)))
	})
	gathering("at the end", 0, []kind{kindPoll}, func(o *outbox, add func(kind, string)) {
		add(kindPoll, "a")
		o.close()
	})
	gathering("after a write", 2*pollGatherTime, []kind{kindPoll}, func(o *outbox, add func(kind, string)) {
		add(kindPoll, "a")
		mustNext(t, o)
		add(kindPoll, "b")
	})
}
