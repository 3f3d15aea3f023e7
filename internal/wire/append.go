package wire

import (
	"strconv"

	"multichat/internal/chat"
)

// AppendLogin appends a login. l's fields must be of their form; a device that is empty is left out.
func AppendLogin(dst []byte, l Login) []byte {
	dst = appendID(append(dst, "poll;v=2"...), l.ID)
	if l.Device != "" {
		dst = append(dst, ";dev="...)
		dst = append(dst, l.Device...)
	}
	if l.SendOnly {
		dst = append(dst, ";push=0"...)
	}
	dst = append(dst, ':')
	dst = append(dst, l.User...)
	dst = append(dst, ':')
	dst = l.Password.AppendTo(dst)
	return append(dst, ":0\n"...)
}

// AppendSend appends a version 2 wrmsg. m has an id; on a stream its user and password are empty.
func AppendSend(dst []byte, m Wrmsg) []byte {
	dst = appendID(append(dst, "wrmsg"...), m.ID)
	dst = appendLen(dst, m.Text)
	dst = append(dst, ':')
	dst = append(dst, m.User...)
	dst = append(dst, ':')
	dst = m.Password.AppendTo(dst)
	dst = append(dst, ':')
	dst = append(dst, m.To...)
	dst = append(dst, ':')
	dst = append(dst, m.Text...)
	return append(dst, '\n')
}

// AppendAck appends an ack. An empty id is left out.
func AppendAck(dst []byte, a Ack) []byte {
	dst = appendID(append(dst, "ack"...), a.ID)
	dst = append(dst, ':')
	dst = append(dst, a.Mailbox...)
	dst = append(dst, ':')
	dst = strconv.AppendInt(dst, int64(a.Seq), 10)
	return append(dst, '\n')
}

// AppendPing appends a ping. An empty id is left out.
func AppendPing(dst []byte, id chat.MessageID) []byte {
	return append(appendID(append(dst, "ping"...), id), '\n')
}

// AppendPong appends the answer to a ping, whose id it names.
func AppendPong(dst []byte, id chat.MessageID) []byte {
	return append(appendID(append(dst, "pong"...), id), '\n')
}

// AppendBye appends a bye.
func AppendBye(dst []byte) []byte { return append(dst, "bye\n"...) }

// AppendMessage appends a version 2 newmsg. m is whole: it has an id and a seq. Its text is never cut.
func AppendMessage(dst []byte, m chat.Message) []byte {
	dst = appendID(append(dst, "newmsg"...), m.ID)
	dst = append(dst, ";to="...)
	dst = append(dst, m.To...)
	dst = append(dst, ";seq="...)
	dst = strconv.AppendInt(dst, int64(m.Seq), 10)
	dst = appendLen(dst, m.Text)
	dst = append(dst, ':')
	dst = appendSender(dst, m)
	dst = append(dst, m.Text...)
	return append(dst, '\n')
}

func appendLen(dst, text []byte) []byte {
	dst = append(dst, ";len="...)
	return strconv.AppendInt(dst, int64(len(text)), 10)
}
