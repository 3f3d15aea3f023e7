package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"multichat/internal/chat"
)

// textFields is how many fields stand before the text, in each kind of frame that has one.
const textFields = 3

// ReadFrame reads the next frame of a stream, and nothing beyond it. r's buffer must have room for [MaxHeader] bytes. Its
// errors are io.EOF when the stream ended between two frames; a [*chat.Error] to be answered before the connection is
// closed, since where the next frame begins is not known; or what r failed with, wrapped, which is io.ErrUnexpectedEOF
// when the stream ended within a frame. An error ends the stream: what was read of the frame is lost.
func ReadFrame(r *bufio.Reader, limits Limits) (Frame, error) {
	head, err := peekHeader(r)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(trimNewline(head))
	if err != nil {
		return nil, err
	}
	switch string(h.verb) {
	case "wrmsg":
		return readWrmsg(r, head, h, limits)
	case "newmsg":
		return readNewmsg(r, head, h, limits)
	}
	if h.attr("len") != nil {
		return nil, errStrayLen
	}
	frame, err := decodeLine(h)
	if err != nil {
		frame = Malformed{ID: h.id(), Err: chat.AsError(err)}
	}
	discardPeeked(r, len(head))
	return frame, nil
}

// ErrNoPing is that the next frame is no ping.
var ErrNoPing = errors.New("the next frame is no ping")

// ReadPing reads the next frame if it is a ping. If it is not, or r fails, nothing is read, so that [ReadFrame] or another
// try may follow. The error is ErrNoPing, or what r failed with.
func ReadPing(r *bufio.Reader) (chat.MessageID, error) {
	if verb, err := r.Peek(len("ping")); err != nil {
		return "", err
	} else if string(verb) != "ping" {
		return "", ErrNoPing
	}
	head, err := peekHeader(r)
	if err != nil {
		return "", err
	}
	h, err := parseHeader(trimNewline(head))
	if err != nil {
		return "", ErrNoPing
	}
	frame, err := decodeLine(h)
	ping, ok := frame.(Ping)
	if err != nil || !ok || h.attr("len") != nil {
		return "", ErrNoPing
	}
	discardPeeked(r, len(head))
	return ping.ID, nil
}

// peekHeader looks at the next frame up to its text, or to and with its newline. What it returns is a view of r's
// buffer. It waits only while the header is not whole.
func peekHeader(r *bufio.Reader) ([]byte, error) {
	head, seen, err := peekTo(r, headerEnd)
	switch {
	case err == io.EOF && seen == 0:
		return nil, io.EOF
	case err != nil:
		return nil, readError(err)
	case head == nil:
		return nil, errLongHeader
	}
	return head, nil
}

// peekTo looks at r's input as far as end says of what is there, or 0 as long as that is not enough. What it returns is a view of
// r's buffer: nil if there is an error, or no end within MaxHeader bytes. seen is how much was looked at before.
func peekTo(r *bufio.Reader, end func([]byte) int) (head []byte, seen int, err error) {
	if r.Size() < MaxHeader {
		panic("wire: a reader has a buffer of less than MaxHeader bytes")
	}
	for seen < MaxHeader {
		if _, err := r.Peek(seen + 1); err != nil {
			return nil, seen, err
		}
		b, _ := r.Peek(min(r.Buffered(), MaxHeader))
		if n := end(b); n > 0 {
			return b[:n], seen, nil
		}
		seen = len(b)
	}
	return nil, seen, nil
}

// headerEnd is the length of the header that b begins with, or 0 if not all of it is there.
func headerEnd(b []byte) int {
	newline := bytes.IndexByte(b, '\n')
	if newline >= 0 {
		b = b[:newline+1]
	}
	if mayHaveText(b) {
		// A newline before the last of the colons ends it too: there is no text then, and the frame will be refused.
		if end := afterColons(b, 1+textFields); end > 0 {
			return end
		}
	}
	return newline + 1
}

// mayHaveText looks at the verb alone. One without attributes has no len and will be refused; it is cut here as if it
// had, so that the refusal need not wait for a newline which a text of version 1 may never bring.
func mayHaveText(b []byte) bool {
	rest, found := bytes.CutPrefix(b, []byte("wrmsg"))
	if !found {
		rest, found = bytes.CutPrefix(b, []byte("newmsg"))
	}
	return found && len(rest) > 0 && (rest[0] == ';' || rest[0] == ':')
}

// afterColons is the place behind the nth colon of b, or 0 if b has fewer.
func afterColons(b []byte, n int) int {
	end := 0
	for range n {
		i := bytes.IndexByte(b[end:], ':')
		if i < 0 {
			return 0
		}
		end += i + 1
	}
	return end
}

// id copies the id, which is empty if there is none. The grammar of a value is the form of an id.
func (h header) id() chat.MessageID { return chat.MessageID(h.attr("id")) }

// discardPeeked cannot fail: the n bytes are in r's buffer.
func discardPeeked(r *bufio.Reader, n int) { _, _ = r.Discard(n) }

// readError wraps what a reader failed with inside a frame, where no end is a good one.
func readError(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading a frame: %w", err)
}

// The refusals that end a stream, but for those of a header's grammar.
var (
	errLongHeader = chat.Errorf(chat.CodeTooLarge, "a frame has more than %d bytes before its text or its newline", MaxHeader)
	errStrayLen   = chat.Errorf(chat.CodeBadReq, "a frame gives a len and is neither wrmsg nor newmsg, "+
		"so where its text ends is not known")
	errNoLen      = chat.Errorf(chat.CodeBadReq, "a wrmsg or newmsg gives no len, so where its text ends is not known")
	errBadLen     = chat.Errorf(chat.CodeBadReq, "the len of a frame is not a decimal number")
	errLongText   = chat.Errorf(chat.CodeTooLarge, "the len of a frame is over %d bytes", maxPassedOver)
	errTextFields = chat.Errorf(chat.CodeBadReq, "a wrmsg or newmsg ends before its text; a field is missing")
	errNoNewline  = chat.Errorf(chat.CodeBadReq, "after len bytes of text comes no newline")
)
