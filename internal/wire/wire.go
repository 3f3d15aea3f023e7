package wire

import "multichat/internal/chat"

// Poll is a decoded poll datagram. Its fields are views of the datagram, so that a poll costs no allocation: copy what
// is kept.
type Poll struct {
	User     []byte
	Password chat.Secret
	Port     uint16 // listen_port as the client printed it: which reading is meant is not known here
}

// Wrmsg is a decoded message to send. Its fields are copies.
type Wrmsg struct {
	ID       chat.MessageID // empty when the client gave none, as in version 1
	User     chat.UserID    // empty, and the password too, when the login of the stream counts
	Password chat.Secret
	To       chat.Mailbox
	Text     []byte
}
