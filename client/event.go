package client

import "multichat/internal/chat"

// Event is news of a stream's connection, or of a message on it.
type Event struct {
	Kind    EventKind
	Proxy   Address
	Err     error          // why, unless Kind is Connected
	Message chat.MessageID // of Retried: the message's
}

// EventKind says what happened.
type EventKind int

const (
	Connected EventKind = iota // the login was accepted
	Lost                       // a connection that was Connected has ended; another is tried
	Failed                     // a proxy did not answer, or refused for the moment; the next is tried after a pause
	Retried                    // a message that was sent before is sent again, under its id
)

func (k EventKind) String() string {
	switch k {
	case Connected:
		return "made"
	case Lost:
		return "lost"
	case Failed:
		return "failed"
	case Retried:
		return "used to send a message again"
	}
	return "unknown"
}
