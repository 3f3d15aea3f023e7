package wire

import (
	"strconv"
	"strings"
	"unicode"

	"multichat/internal/chat"
)

// maxSentence bounds the sentence of an err in bytes, so that a reply fits MaxHeader.
const maxSentence = 512

// Reply is the answer to one request. Err nil is ok.
type Reply struct {
	ID  chat.MessageID // the id of what is answered; empty if there was none
	Seq chat.Seq       // where the message is stored; 0 if the reply does not say
	Err *chat.Error    // why it was not done
}

// AppendOK appends ok;id=M;seq=S and a newline. An empty id and a seq of 0 are left out. id must be of its form.
func AppendOK(dst []byte, id chat.MessageID, seq chat.Seq) []byte {
	dst = appendID(append(dst, "ok"...), id)
	if seq != 0 {
		dst = append(dst, ";seq="...)
		dst = strconv.AppendInt(dst, int64(seq), 10)
	}
	return append(dst, '\n')
}

// AppendErr appends err;id=M:CODE:sentence and a newline. The sentence is e's reason made one line, cut when it is over
// 512 bytes. An empty id is left out. id and the code must be of their form.
func AppendErr(dst []byte, id chat.MessageID, e *chat.Error) []byte {
	dst = appendID(append(dst, "err"...), id)
	dst = append(dst, ':')
	dst = append(dst, e.Code...)
	dst = append(dst, ':')
	dst = append(dst, sentence(e.Reason)...)
	return append(dst, '\n')
}

// DecodeReply reads a reply line, with or without its newline, into copies. Its error is a badreq [*chat.Error]. The
// sentence of an err is made one line here too, since it may go to a terminal.
func DecodeReply(line []byte) (Reply, error) {
	if len(line) > MaxHeader {
		return Reply{}, chat.Errorf(chat.CodeBadReq, "the reply has more than %d bytes", MaxHeader)
	}
	h, err := parseHeader(trimNewline(line))
	if err != nil {
		return Reply{}, err
	}
	return decodeReply(h)
}

func decodeReply(h header) (Reply, error) {
	reply := Reply{ID: h.id()}
	switch string(h.verb) {
	case "ok":
		if seq := h.attr("seq"); seq != nil {
			var ok bool
			if reply.Seq, ok = parseSeq(seq); !ok {
				return Reply{}, chat.Errorf(chat.CodeBadReq, "the seq of the reply is not a number")
			}
		}
	case "err":
		var code, reason []byte
		if !h.split(&code, &reason) || !isName(code, maxVerb, isLetter) {
			return Reply{}, chat.Errorf(chat.CodeBadReq, "the reply is not of the form err;id=M:CODE:sentence")
		}
		reply.Err = &chat.Error{Code: chat.Code(code), Reason: sentence(string(reason))}
	default:
		return Reply{}, chat.Errorf(chat.CodeBadReq, "the reply is neither ok nor err")
	}
	return reply, nil
}

func appendID(dst []byte, id chat.MessageID) []byte {
	if id == "" {
		return dst
	}
	dst = append(dst, ";id="...)
	return append(dst, id...)
}

// sentence makes s one line of UTF-8 that cannot steer a terminal, of at most maxSentence bytes.
func sentence(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, s)
	return string(appendCut(nil, []byte(s), maxSentence))
}
