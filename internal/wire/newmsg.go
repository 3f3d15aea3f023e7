package wire

import (
	"bytes"
	"strconv"
	"time"

	"multichat/internal/chat"
)

// MaxNewmsg is the longest newmsg in bytes that the first clients read safely.
const MaxNewmsg = 4095

// maxTimestamp is the end of the year 9999, after which a time cannot be printed in the usual forms.
const maxTimestamp = 253402300799

// AppendNewmsg appends a version 1 newmsg for m. It is at most limit bytes long, which must be at least 256 and is
// [MaxNewmsg] for clients of version 1: a longer one is cut, no character split, with … as its end. m's text itself is
// not changed.
func AppendNewmsg(dst []byte, m chat.Message, limit int) []byte {
	start := len(dst)
	dst = appendSender(append(dst, "newmsg:"...), m)
	return appendCut(dst, m.Text, limit-(len(dst)-start))
}

// appendSender appends the fields before the text, which are the same in both versions. A time that cannot be printed is
// moved to where it can.
func appendSender(dst []byte, m chat.Message) []byte {
	dst = strconv.AppendInt(dst, min(max(m.Sent.Unix(), 0), maxTimestamp), 10)
	dst = append(dst, ':')
	dst = append(dst, m.FromName...)
	dst = append(dst, ':')
	dst = append(dst, m.From...)
	return append(dst, ':')
}

// DecodeNewmsg reads a version 1 newmsg as a client got it, to the end of file. Of the message, the seq, the id and the
// mailbox are zero: version 1 does not tell them. The text is a view of b. The error is a [*chat.Error].
func DecodeNewmsg(b []byte) (chat.Message, error) {
	h, err := parseHeader(b)
	if err != nil {
		return chat.Message{}, err
	}
	if string(h.verb) != "newmsg" || h.attrs != nil {
		return chat.Message{}, errNewmsg
	}
	m, err := h.newmsg()
	if err != nil {
		return chat.Message{}, err
	}
	if bytes.IndexByte(m.Text, 0) >= 0 {
		return chat.Message{}, chat.Errorf(chat.CodeBadReq, "the text has a NUL byte in it")
	}
	return m, nil
}

// newmsg reads the fields of a newmsg. The text is a view and not checked.
func (h header) newmsg() (chat.Message, error) {
	var timestamp, name, from, text []byte
	if !h.split(&timestamp, &name, &from, &text) {
		return chat.Message{}, errNewmsg
	}
	seconds, err := strconv.ParseUint(string(timestamp), 10, 63)
	if err != nil || seconds > maxTimestamp {
		return chat.Message{}, chat.Errorf(chat.CodeBadReq, "the timestamp is not a number of seconds before the year 10000")
	}
	m := chat.Message{
		From:     chat.UserID(from),
		FromName: string(name),
		Text:     text,
		Sent:     time.Unix(int64(seconds), 0),
	}
	if err := chat.CheckName(m.FromName); err != nil {
		return chat.Message{}, err
	}
	return m, chat.CheckUserID(m.From)
}

var errNewmsg = chat.Errorf(chat.CodeBadReq, "this is not newmsg:timestamp:username:userid:text")
