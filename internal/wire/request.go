package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"multichat/internal/chat"
)

// Limits are the settings of a reader of requests and frames.
type Limits struct {
	MaxText int // bytes of a text; 0 is [chat.DefaultMaxText]; a client allows [chat.MaxText], since it cannot know
}

func (l Limits) maxText() int {
	if l.MaxText == 0 {
		return chat.DefaultMaxText
	}
	return l.MaxText
}

// ErrEmpty says that a connection ended before its first byte: it was a probe, and there is nobody to answer.
var ErrEmpty = errors.New("the connection ended without a request")

// ReadRequest reads what a client sends over TCP: a wrmsg that ends at end of file. Its errors are [ErrEmpty]; a
// [*chat.Error] to be answered, returned as soon as it can be told, with the client perhaps still sending; or what r
// failed with, wrapped. At most [MaxHeader] bytes and one byte more than the longest text are consumed. r's buffer must have
// room for [MaxHeader] bytes.
func ReadRequest(r *bufio.Reader, limits Limits) (Wrmsg, error) {
	verb, err := peekVerb(r)
	if err != nil {
		return Wrmsg{}, err
	}
	if string(verb) != "wrmsg:" {
		return Wrmsg{}, chat.Errorf(chat.CodeBadReq, "the verb is not one for TCP; send wrmsg:userid:password:userto:text")
	}
	head, err := peekColons(r, 1+textFields)
	if err != nil {
		return Wrmsg{}, err
	}
	m, err := decodeWrmsg(head)
	if err != nil {
		return Wrmsg{}, err
	}
	discardPeeked(r, len(head))
	m.Text, err = readText(r, limits.maxText())
	if err != nil {
		return Wrmsg{}, err
	}
	return m, nil
}

// AppendWrmsg appends a message as a version 1 client sends it, which has no place for an id. m's fields must be of
// their form. The connection's half-close ends it.
func AppendWrmsg(dst []byte, m Wrmsg) []byte {
	dst = append(dst, "wrmsg:"...)
	dst = append(dst, m.User...)
	dst = append(dst, ':')
	dst = m.Password.AppendTo(dst)
	dst = append(dst, ':')
	dst = append(dst, m.To...)
	dst = append(dst, ':')
	return append(dst, m.Text...)
}

// peekColons looks at all up to and with the nth colon. What it returns is a view of r's buffer.
func peekColons(r *bufio.Reader, n int) ([]byte, error) {
	head, _, err := peekTo(r, func(b []byte) int { return afterColons(b, n) })
	switch {
	case err == io.EOF:
		return nil, chat.Errorf(chat.CodeBadReq, "a field is missing; a message is wrmsg:userid:password:userto:text")
	case err != nil:
		return nil, fmt.Errorf("reading a request: %w", err)
	case head == nil:
		return nil, chat.Errorf(chat.CodeTooLarge, "there are more than %d bytes before the text", MaxHeader)
	}
	return head, nil
}

// decodeWrmsg reads a message from its head, which ends with the colon before the text.
func decodeWrmsg(head []byte) (Wrmsg, error) {
	h, err := parseHeader(head)
	if err != nil {
		return Wrmsg{}, err
	}
	m := h.wrmsg()
	if err := checkCredentials(m.User, m.Password); err != nil {
		return Wrmsg{}, err
	}
	return m, chat.CheckMailbox(m.To)
}

// wrmsg copies the fields before the text, unchecked.
func (h header) wrmsg() Wrmsg {
	var user, password, to, text []byte
	h.split(&user, &password, &to, &text)
	return Wrmsg{
		User:     chat.UserID(user),
		Password: chat.ViewSecret(password).Clone(),
		To:       chat.Mailbox(to),
	}
}

// readText reads to the end of file, or to the first byte over the limit: there the reader stops, since a hostile
// client might send for ever.
func readText(r *bufio.Reader, limit int) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("reading a request's text: %w", err)
	}
	if len(text) > limit {
		return nil, chat.Errorf(chat.CodeTooLarge, "the text has more than %d bytes", limit)
	}
	if err := chat.CheckText(text, limit); err != nil {
		return nil, err
	}
	return text, nil
}
