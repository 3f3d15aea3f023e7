package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
)

func TestFramesArriveAsTheyWereWritten(t *testing.T) {
	sent := []frame{
		{kindPing, 1, nil},
		{kindPoll, 0, []byte("poll")},
		{kindPush, 1<<64 - 1, bytes.Repeat([]byte("x"), readAhead)}, // larger than the reader's buffer
		{kindSend, 7, bytes.Repeat([]byte("y"), maxFrame-headLen)},
		{kindPong, 2, nil},
	}
	var stream []byte
	for _, f := range sent {
		start := len(stream)
		stream = append(beginFrame(stream, f.kind, f.id), f.body...)
		if err := endFrame(stream, start); err != nil {
			t.Fatal(err)
		}
	}
	readers := map[string]func(io.Reader) io.Reader{
		"at once":            func(r io.Reader) io.Reader { return r },
		"one byte at a time": iotest.OneByteReader,
		"by halves":          iotest.HalfReader,
		"end with data":      iotest.DataErrReader,
	}
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			in := newFrameReader(reader(bytes.NewReader(stream)))
			for i, want := range sent {
				got, err := in.next(maxFrame)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if got.kind != want.kind || got.id != want.id || !bytes.Equal(got.body, want.body) {
					t.Errorf("frame %d is kind %d, id %d, %d bytes; want kind %d, id %d, %d bytes",
						i, got.kind, got.id, len(got.body), want.kind, want.id, len(want.body))
				}
			}
			if _, err := in.next(maxFrame); err != io.EOF {
				t.Errorf("after the last frame: %v, want io.EOF", err)
			}
		})
	}
}

func TestFrameReaderRefuses(t *testing.T) {
	for name, stream := range map[string]string{
		"a length too small for kind and id": "\x00\x00\x00\x08" + "12345678",
		"a length over the limit":            "\x00\x10\x00\x01" + "12345678",
		"a length cut off":                   "\x00\x00",
		"a frame cut off":                    "\x00\x00\x00\x0a" + "123456789",
		"a large frame cut off":              "\x00\x0f\x00\x00" + "123456789",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := newFrameReader(bytes.NewReader([]byte(stream))).next(maxFrame)
			if err == nil || err == io.EOF {
				t.Errorf("got %v and error %v, want an error that is not the end of file", f, err)
			}
		})
	}
}

func TestTooLargeFrameIsRefusedBeforeItIsSent(t *testing.T) {
	b := append(beginFrame(nil, kindSend, 1), make([]byte, maxFrame-headLen+1)...)
	if err := endFrame(b, 0); err != errFrameTooLarge {
		t.Errorf("got %v, want %v", err, errFrameTooLarge)
	}
}

func TestWholeFramesNeverCutsAFrame(t *testing.T) {
	var b []byte
	var ends []int
	for _, size := range []int{0, 10, 200, 0, 50, 1000, 3} {
		b = append(b, rawFrame(kindPoll, 0, string(make([]byte, size)))...)
		ends = append(ends, len(b))
	}
	for limit := range len(b) + 10 {
		want := ends[0]
		for _, end := range ends {
			if end <= limit {
				want = end
			}
		}
		if got := wholeFrames(b, limit); got != want {
			t.Fatalf("limit %d: %d bytes, want %d", limit, got, want)
		}
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add(rawFrame(kindPoll, 0, "body"))
	f.Add(append(rawFrame(kindPing, 1, ""), rawFrame(kindSend, 2, "x")...))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole := newFrameReader(bytes.NewReader(stream))
		bytewise := newFrameReader(iotest.OneByteReader(bytes.NewReader(stream)))
		var again []byte
		for {
			a, errA := whole.next(maxFrame)
			b, errB := bytewise.next(maxFrame)
			if (errA == nil) != (errB == nil) || a.kind != b.kind || a.id != b.id || !bytes.Equal(a.body, b.body) {
				t.Fatalf("at once: %v %v; one byte at a time: %v %v", a, errA, b, errB)
			}
			if errA != nil {
				break
			}
			again = append(again, rawFrame(a.kind, a.id, string(a.body))...)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatal("the frames read are not those that the stream begins with")
		}
		if rest := stream[len(again):]; len(rest) >= lengthLen {
			if n := int(binary.BigEndian.Uint32(rest)); n >= headLen && n <= len(rest)-lengthLen && n <= maxFrame {
				t.Fatal("a whole frame was not read")
			}
		}
	})
}
