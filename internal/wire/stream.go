package wire

import "multichat/internal/chat"

// Frame is what one side of a version 2 stream says at once: a [Login], [Wrmsg], [Ack], [Ping], [Pong], [Bye], [Reply],
// [Newmsg] or [Malformed]. All parts are copies.
type Frame interface{ frame() }

// Login is poll;v=2;id=R;dev=D:userid:password:0.
type Login struct {
	ID       chat.MessageID // names the login in its reply; empty if the client gave none
	User     chat.UserID
	Password chat.Secret
	Device   chat.DeviceID // never empty: the default is DefaultDevice
	SendOnly bool          // push=0: nothing is pushed on this stream, and it has no device
}

// DefaultDevice is the device of a login that names none.
const DefaultDevice chat.DeviceID = "default"

// Ack is ack;id=R:MAILBOX:SEQ. Without an id it is not answered.
type Ack struct {
	ID      chat.MessageID
	Mailbox chat.Mailbox
	Seq     chat.Seq
}

// Ping is ping;id=R, Pong pong;id=R. The id may be missing.
type (
	Ping struct{ ID chat.MessageID }
	Pong struct{ ID chat.MessageID }
)

// Bye is the orderly end.
type Bye struct{}

// Newmsg is a message with its mailbox, id and seq.
type Newmsg struct{ chat.Message }

// Malformed is a frame that is not of its form, or over a limit, but whose end is known: it is to be answered with Err
// under ID, if it has one, and the stream goes on.
type Malformed struct {
	ID  chat.MessageID
	Err *chat.Error
}

func (Login) frame()     {}
func (Wrmsg) frame()     {}
func (Ack) frame()       {}
func (Ping) frame()      {}
func (Pong) frame()      {}
func (Bye) frame()       {}
func (Reply) frame()     {}
func (Newmsg) frame()    {}
func (Malformed) frame() {}
