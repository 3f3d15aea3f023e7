package wire

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"multichat/internal/chat"
)

// MaxPoll is the limit of a poll datagram in bytes. Read with a longer buffer, to see that one was over it.
const MaxPoll = 512

// MinListenPort is the least port that is ever dialled: below it are the services of the client's host.
const MinListenPort = 1024

// ErrStreamPoll says that a datagram is a version 2 poll, which belongs on a stream. [DecodePoll] returns it so that
// such polls can be counted apart.
var ErrStreamPoll error = chat.Errorf(chat.CodeBadReq, "poll; came by datagram; version 2 logs in over TCP")

// DecodePoll reads a poll datagram. The poll is a view of the datagram and costs no allocation. The error is
// [ErrStreamPoll] or another [*chat.Error]; it quotes nothing of the password.
func DecodePoll(datagram []byte) (Poll, error) {
	if len(datagram) > MaxPoll {
		return Poll{}, errLongPoll
	}
	if bytes.HasPrefix(datagram, []byte("poll;")) {
		return Poll{}, ErrStreamPoll
	}
	h, err := parseHeader(trimNewline(datagram))
	if err != nil {
		return Poll{}, err
	}
	if string(h.verb) != "poll" {
		return Poll{}, errNotPoll
	}
	var user, password, printed []byte
	if !h.split(&user, &password, &printed) {
		return Poll{}, errPollFields
	}
	if err := chat.CheckUserID(viewUserID(user)); err != nil {
		return Poll{}, err
	}
	secret := chat.ViewSecret(password)
	if err := chat.CheckPassword(secret); err != nil {
		return Poll{}, err
	}
	port, ok := parsePort(printed)
	if !ok {
		return Poll{}, errPollPort
	}
	return Poll{User: user, Password: secret, Port: port}, nil
}

// AppendPoll appends a poll as a client sends it. p's fields must be of their form.
func AppendPoll(dst []byte, p Poll) []byte {
	dst = append(dst, "poll:"...)
	dst = append(dst, p.User...)
	dst = append(dst, ':')
	dst = p.Password.AppendTo(dst)
	dst = append(dst, ':')
	return strconv.AppendUint(dst, uint64(p.Port), 10)
}

// Readings are the two ports that a listen_port may mean: the number itself, and the number with its bytes swapped.
func Readings(port uint16) (itself, swapped uint16) {
	return port, bits.ReverseBytes16(port)
}

// One value each, since bad polls come in floods.
var (
	errLongPoll   = chat.Errorf(chat.CodeTooLarge, "the poll has more than %d bytes", MaxPoll)
	errNotPoll    = chat.Errorf(chat.CodeBadReq, "a datagram is poll:userid:password:listen_port, and this has another verb")
	errPollFields = chat.Errorf(chat.CodeBadReq, "a field is missing; a poll is poll:userid:password:listen_port")
	errPollPort   = chat.Errorf(chat.CodeBadReq, "the listen_port is not a decimal number from 0 to %d", math.MaxUint16)
)

// parsePort reads 1 to 5 digits. A password with a colon in it, say, leaves more than that in the last field.
func parsePort(b []byte) (uint16, bool) {
	if !isName(b, 5, isDigit) {
		return 0, false
	}
	n := 0
	for _, c := range b {
		n = n*10 + int(c-'0')
	}
	return uint16(n), n <= math.MaxUint16
}

func trimNewline(b []byte) []byte {
	if line, found := bytes.CutSuffix(b, []byte("\n")); found {
		return bytes.TrimSuffix(line, []byte("\r"))
	}
	return b
}

// viewUserID lets a check look at b without a copy. The checks keep nothing of what they are given.
func viewUserID(b []byte) chat.UserID { return chat.UserID(unsafe.String(unsafe.SliceData(b), len(b))) }
