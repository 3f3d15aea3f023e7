package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"multichat/internal/chat"
)

// Limits are the settings of a reader of requests.
type Limits struct {
	MaxText int // bytes of a text; 0 is [chat.DefaultMaxText]
}

// ErrEmpty says that a connection ended before its first byte: it was a probe, and there is nobody to answer.
var ErrEmpty = errors.New("the connection ended without a request")

// ReadRequest reads what a client sends over TCP: a wrmsg that ends at end of file. Its errors are [ErrEmpty]; a
// [*chat.Error] to be answered, returned as soon as it can be told, with the client perhaps still sending; or what r
// failed with, wrapped. At most [MaxHeader] bytes and one byte more than the longest text are consumed.
func ReadRequest(r *bufio.Reader, limits Limits) (Wrmsg, error) {
	var room [MaxHeader]byte
	head, err := readVerb(r, room[:0])
	if err != nil {
		return Wrmsg{}, err
	}
	if head[len(head)-1] != ':' {
		return Wrmsg{}, refuseVersion2()
	}
	if string(head) != "wrmsg:" {
		return Wrmsg{}, chat.Errorf(chat.CodeBadReq, "the verb is not one for TCP; send wrmsg:userid:password:userto:text")
	}
	head, err = readFields(r, head, 3)
	if err != nil {
		return Wrmsg{}, err
	}
	m, err := decodeWrmsg(head)
	if err != nil {
		return Wrmsg{}, err
	}
	m.Text, err = readText(r, limits.MaxText)
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

// refuseVersion2 is what a version 2 first frame gets for as long as streams are not served.
func refuseVersion2() error {
	return chat.Errorf(chat.CodeBadReq, "version 2 is not served yet; send wrmsg:userid:password:userto:text and half-close")
}

// readVerb reads the first verb and the byte that ends it, which tells the version.
func readVerb(r *bufio.Reader, head []byte) ([]byte, error) {
	for len(head) <= maxVerb {
		c, err := r.ReadByte()
		switch {
		case err == io.EOF && len(head) == 0:
			return nil, ErrEmpty
		case err == io.EOF:
			return nil, errVerb
		case err != nil:
			return nil, fmt.Errorf("reading a request: %w", err)
		}
		head = append(head, c)
		switch {
		case isLetter(c):
		case len(head) > 1 && (c == ':' || c == ';' || c == '\n'):
			return head, nil
		default:
			return nil, errVerb
		}
	}
	return nil, errVerb
}

// readFields reads n more fields, each with the colon that ends it.
func readFields(r *bufio.Reader, head []byte, n int) ([]byte, error) {
	for n > 0 {
		if len(head) == MaxHeader {
			return nil, chat.Errorf(chat.CodeTooLarge, "there are more than %d bytes before the text", MaxHeader)
		}
		c, err := r.ReadByte()
		if err == io.EOF {
			return nil, chat.Errorf(chat.CodeBadReq, "a field is missing; a message is wrmsg:userid:password:userto:text")
		}
		if err != nil {
			return nil, fmt.Errorf("reading a request: %w", err)
		}
		if head = append(head, c); c == ':' {
			n--
		}
	}
	return head, nil
}

// decodeWrmsg copies a message's fields from its head, which ends with the colon before the text.
func decodeWrmsg(head []byte) (Wrmsg, error) {
	h, err := parseHeader(head)
	if err != nil {
		return Wrmsg{}, err
	}
	var user, password, to, text []byte
	h.split(&user, &password, &to, &text)
	m := Wrmsg{
		User:     chat.UserID(user),
		Password: chat.ViewSecret(password).Clone(),
		To:       chat.Mailbox(to),
	}
	if err := chat.CheckUserID(m.User); err != nil {
		return Wrmsg{}, err
	}
	if err := chat.CheckPassword(m.Password); err != nil {
		return Wrmsg{}, err
	}
	if err := chat.CheckMailbox(m.To); err != nil {
		return Wrmsg{}, err
	}
	return m, nil
}

// readText reads to the end of file, or to the first byte over the limit: there the reader stops, since a hostile
// client might send for ever.
func readText(r *bufio.Reader, limit int) ([]byte, error) {
	if limit == 0 {
		limit = chat.DefaultMaxText
	}
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
