package wire

import (
	"bufio"
	"io"
	"strconv"

	"multichat/internal/chat"
)

const (
	maxPassedOver = 1 << 20 // bytes of a text over the limit that are read only to find its end
	firstRoom     = 4096    // bytes that a text is given before any of it has arrived
)

// body is the part of a frame that its header only announces.
type body struct {
	id    chat.MessageID
	head  int // bytes of the header, which is still to be consumed
	size  int // bytes of the text
	limit int // more than that is refused
}

func readWrmsg(r *bufio.Reader, head []byte, h header, limits Limits) (Frame, error) {
	b, err := announced(head, h, limits)
	if err != nil {
		return nil, err
	}
	m, refusal := decodeStreamWrmsg(h)
	text, malformed, err := b.read(r, refusal)
	if err != nil || malformed != nil {
		return malformed, err
	}
	m.ID, m.Text = b.id, text
	return m, nil
}

func readNewmsg(r *bufio.Reader, head []byte, h header, limits Limits) (Frame, error) {
	b, err := announced(head, h, limits)
	if err != nil {
		return nil, err
	}
	m, refusal := decodeStreamNewmsg(h)
	text, malformed, err := b.read(r, refusal)
	if err != nil || malformed != nil {
		return malformed, err
	}
	m.ID, m.Text = b.id, text
	return Newmsg{m}, nil
}

// announced says what comes after a header. Its error ends the stream: the text's end is not known, or too far away.
func announced(head []byte, h header, limits Limits) (body, error) {
	printed := h.attr("len")
	if printed == nil {
		return body{}, errNoLen
	}
	if head[len(head)-1] == '\n' {
		return body{}, errTextFields
	}
	if !isName(printed, maxValue, isDigit) {
		return body{}, errBadLen
	}
	size, err := strconv.ParseUint(string(printed), 10, 31)
	if err != nil || size > maxPassedOver {
		return body{}, errLongText
	}
	return body{id: h.id(), head: len(head), size: int(size), limit: limits.maxText()}, nil
}

// read consumes the header, the text and the newline; what the header was a view of is gone after it. A text that is
// refused, already or here, is passed over, and a Malformed takes its place. The error ends the stream.
func (b body) read(r *bufio.Reader, refusal error) (text []byte, malformed Frame, err error) {
	discardPeeked(r, b.head)
	if refusal == nil && b.size > b.limit {
		refusal = chat.Errorf(chat.CodeTooLarge, "the text has %d bytes; the limit is %d", b.size, b.limit)
	}
	if refusal != nil {
		_, err = r.Discard(b.size)
	} else {
		text, err = readSized(r, b.size)
	}
	if err != nil {
		return nil, nil, readError(err)
	}
	switch c, err := r.ReadByte(); {
	case err != nil:
		return nil, nil, readError(err)
	case c != '\n':
		return nil, nil, errNoNewline
	}
	if refusal == nil {
		refusal = chat.CheckText(text, b.limit)
	}
	if refusal != nil {
		return nil, Malformed{ID: b.id, Err: chat.AsError(refusal)}, nil
	}
	return text, nil, nil
}

// readSized reads n bytes. Room is made as they come: who claims a long text and sends none of it takes little.
func readSized(r io.Reader, n int) ([]byte, error) {
	text := make([]byte, min(n, firstRoom))
	for done := 0; ; {
		if _, err := io.ReadFull(r, text[done:]); err != nil {
			return nil, err
		}
		if done = len(text); done == n {
			return text, nil
		}
		longer := make([]byte, min(n, 2*done))
		copy(longer, text)
		text = longer
	}
}

// decodeStreamWrmsg copies a message's fields, but for its id and text. Its error is a [*chat.Error].
func decodeStreamWrmsg(h header) (Wrmsg, error) {
	if h.attr("id") == nil {
		return Wrmsg{}, errNoID
	}
	m := h.wrmsg()
	if m.User != "" || m.Password.Len() > 0 {
		if err := checkCredentials(m.User, m.Password); err != nil {
			return Wrmsg{}, err
		}
	}
	return m, chat.CheckMailbox(m.To)
}

// decodeStreamNewmsg is the same for a newmsg.
func decodeStreamNewmsg(h header) (chat.Message, error) {
	m, err := h.newmsg()
	if err != nil {
		return chat.Message{}, err
	}
	seq, ok := parseSeq(h.attr("seq"))
	if h.attr("id") == nil || !ok || seq == 0 {
		return chat.Message{}, errNewmsgAttrs
	}
	m.Seq, m.To = seq, chat.Mailbox(h.attr("to"))
	return m, chat.CheckMailbox(m.To)
}

var (
	errNoID = chat.Errorf(chat.CodeBadReq, "a wrmsg of version 2 needs an id; "+
		"send wrmsg;id=M;len=N:userid:password:userto:TEXT")
	errNewmsgAttrs = chat.Errorf(chat.CodeBadReq, "a newmsg of version 2 needs an id and a seq; it is "+
		"newmsg;id=M;to=MAILBOX;seq=S;len=N:timestamp:username:userid:TEXT")
)
