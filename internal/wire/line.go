package wire

import (
	"strconv"
	"strings"

	"multichat/internal/chat"
)

// decodeLine reads a frame without a text. Its error is a [*chat.Error], after which the stream goes on.
func decodeLine(h header) (Frame, error) {
	switch string(h.verb) {
	case "poll":
		return decodeLogin(h)
	case "ack":
		return decodeAck(h)
	case "ping":
		return Ping{ID: h.id()}, nil
	case "pong":
		return Pong{ID: h.id()}, nil
	case "bye":
		return Bye{}, nil
	case "ok", "err":
		return decodeReply(h)
	}
	return nil, errUnknownVerb
}

func decodeLogin(h header) (Frame, error) {
	var user, password, port []byte
	switch {
	case h.attr("v") == nil:
		return nil, errLoginForm
	case string(h.attr("v")) != "2":
		return nil, chat.Errorf(chat.CodeBadReq, "version %s is not served on streams; version 2 is", h.attr("v"))
	case !h.split(&user, &password, &port):
		return nil, errLoginForm
	}
	if number, ok := parsePort(port); !ok || number != 0 {
		return nil, errLoginPort
	}
	l := Login{
		ID:       h.id(),
		User:     chat.UserID(user),
		Password: chat.ViewSecret(password).Clone(),
		Device:   DefaultDevice,
	}
	if dev := h.attr("dev"); dev != nil {
		l.Device = chat.DeviceID(dev)
	}
	if strings.HasPrefix(string(l.Device), v1Device) {
		return nil, chat.Errorf(chat.CodeBadReq, "a device's name does not begin with %q: the system calls version 1's devices so", v1Device)
	}
	switch push := h.attr("push"); {
	case push == nil || string(push) == "1":
	case string(push) == "0":
		l.SendOnly = true
	default:
		return nil, chat.Errorf(chat.CodeBadReq, "push is %s; it is 1, which may be left out, or 0", push)
	}
	return l, checkCredentials(l.User, l.Password)
}

// v1Device is how the system begins the names that it gives the devices of version 1: two of them are not to meet in one.
const v1Device = "v1 "

func decodeAck(h header) (Frame, error) {
	var mailbox, printed []byte
	if !h.split(&mailbox, &printed) {
		return nil, errAckFields
	}
	seq, ok := parseSeq(printed)
	if !ok {
		return nil, errAckSeq
	}
	a := Ack{ID: h.id(), Mailbox: chat.Mailbox(mailbox), Seq: seq}
	return a, chat.CheckMailbox(a.Mailbox)
}

func checkCredentials(user chat.UserID, password chat.Secret) error {
	if err := chat.CheckUserID(user); err != nil {
		return err
	}
	return chat.CheckPassword(password)
}

func parseSeq(b []byte) (chat.Seq, bool) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	return chat.Seq(n), err == nil
}

// None of them quotes what came: a part of a password may stand anywhere in a bad line.
var (
	errUnknownVerb = chat.Errorf(chat.CodeBadReq, "the verb of a frame is not known")
	errLoginForm   = chat.Errorf(chat.CodeBadReq, "a poll on a stream is poll;v=2;id=R;dev=D:userid:password:0")
	errLoginPort   = chat.Errorf(chat.CodeBadReq, "the port of a poll on a stream is not 0, which stands for this connection")
	errAckFields   = chat.Errorf(chat.CodeBadReq, "a field is missing; an ack is ack:MAILBOX:SEQ")
	errAckSeq      = chat.Errorf(chat.CodeBadReq, "the seq of an ack is not a decimal number of 63 bits")
)
