package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// kind says what a frame is. The numbers are the protocol's.
type kind byte

const (
	kindHello kind = 1
	kindPing  kind = 2
	kindPong  kind = 3
	kindPoll  kind = 4
	kindSend  kind = 5
	kindReply kind = 6
	kindPush  kind = 7

	// Of streams, from a proxy and from a server. The id is the stream's; a ticket has none.
	kindLogin      kind = 16
	kindStreamSend kind = 17
	kindAck        kind = 18
	kindClose      kind = 19
	kindWelcome    kind = 24
	kindAnswer     kind = 25
	kindDeliver    kind = 26
	kindEnd        kind = 27
	kindTicket     kind = 28

	firstHint kind = 128 // kinds from here on may be ignored by who does not know them
)

const (
	lengthLen = 4
	headLen   = 1 + 8 // kind and id, which the length counts
	maxFrame  = 1 << 20
	maxHello  = 1 << 10 // until the other end has said who it is, it gets no larger buffer
	readAhead = 64 << 10
)

var errFrameTooLarge = errors.New("the frame would be larger than 1 MiB")

type frame struct {
	kind kind
	id   uint64
	body []byte
}

// beginFrame appends a frame's header; what is appended next is its body, until endFrame.
func beginFrame(b []byte, k kind, id uint64) []byte {
	b = append(b, 0, 0, 0, 0, byte(k))
	return binary.BigEndian.AppendUint64(b, id)
}

// endFrame fills in the length of the frame that begins at b[start:] and ends where b does.
func endFrame(b []byte, start int) error {
	n := len(b) - start - lengthLen
	if n > maxFrame {
		return errFrameTooLarge
	}
	binary.BigEndian.PutUint32(b[start:], uint32(n))
	return nil
}

// wholeFrames is the length of as many frames at the front of b as fit into limit, but at least of one. b holds whole
// frames only.
func wholeFrames(b []byte, limit int) int {
	if len(b) <= limit {
		return len(b)
	}
	end := 0
	for end < len(b) {
		next := end + lengthLen + int(binary.BigEndian.Uint32(b[end:]))
		if end > 0 && next > limit {
			break
		}
		end = next
	}
	return end
}

// frameReader takes a byte stream apart into frames. Those that fit into its buffer are not copied.
type frameReader struct {
	r    *bufio.Reader
	seen int    // bytes at the front of r that belong to the frame given out last
	big  []byte // holds frames that do not fit into r
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, readAhead)}
}

// next reads a frame whose length is at most limit. Its body is valid until the next call. The error is io.EOF only
// when the stream ended between two frames.
func (fr *frameReader) next(limit int) (frame, error) {
	if _, err := fr.r.Discard(fr.seen); err != nil {
		return frame{}, err
	}
	fr.seen = 0
	head, err := fr.r.Peek(lengthLen)
	if err != nil {
		return frame{}, cutOff(err, len(head))
	}
	n := int(binary.BigEndian.Uint32(head))
	if n < headLen || n > limit {
		return frame{}, fmt.Errorf("a frame says it has %d bytes; it must be %d to %d", n, headLen, limit)
	}
	b, err := fr.take(lengthLen + n)
	if err != nil {
		return frame{}, cutOff(err, lengthLen)
	}
	b = b[lengthLen:]
	return frame{kind: kind(b[0]), id: binary.BigEndian.Uint64(b[1:]), body: b[headLen:]}, nil
}

func (fr *frameReader) take(n int) ([]byte, error) {
	if n <= fr.r.Size() {
		fr.seen = n
		return fr.r.Peek(n)
	}
	if cap(fr.big) < n {
		fr.big = make([]byte, n)
	}
	_, err := io.ReadFull(fr.r, fr.big[:n])
	return fr.big[:n], err
}

// cutOff keeps an end of file between frames apart from one inside of a frame of which some bytes were read.
func cutOff(err error, read int) error {
	if err == io.EOF && read > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
