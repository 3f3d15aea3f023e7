package edge

import "multichat/internal/chat"

// ErrLeaving is Login's error at a node that is about to end: nothing was done, and another takes the stream.
var ErrLeaving = chat.Errorf(chat.CodeUnavail, "this node is about to end; log in again")

// Login is what a client says to open a stream, or a proxy to take one over from a server that was lost.
type Login struct {
	User     chat.UserID
	Password chat.Secret   // empty where the caller's ticket stands for it
	Device   chat.DeviceID // empty: the stream only sends; nothing is pushed on it, and it acknowledges nothing

	// Nonce is a random number of the stream, the same in each login for it, below 2^20: so a server that takes it over
	// knows whether its device is still this stream's, or a newer one's.
	Nonce uint32

	// TakeOver says that the stream was served before: it is refused as replaced if a newer one has its device, and what
	// is at or below Given need not be pushed again, since the client has it or will have it on its connection.
	TakeOver bool
	Given    Places
}

// Places are a place in each of the two mailboxes that a device reads.
type Places struct {
	Inbox     chat.Seq // in the user's own
	Broadcast chat.Seq // in Everyone
}

// Stream is an open stream as its client uses it. Calls come one after another and never block. What the client is told
// comes through its [StreamClient].
type Stream interface {
	// Send hands a message on. What one stream sends to one mailbox is stored in the order of the calls. The answer is
	// an Answer with this ref, which no other call of the stream has. The text is the stream's to keep.
	Send(ref uint64, m StreamMessage)

	// Ack says that everything in a mailbox up to and including seq has arrived. With a ref other than 0 it is answered
	// once that is stored; without one, only if it is refused, with an Answer of ref 0.
	Ack(ref uint64, mailbox chat.Mailbox, seq chat.Seq)

	// Close says that the client is gone. What was sent is still stored; what was not acknowledged waits.
	Close()
}

// StreamMessage is a message on its way from a stream; who sends it the stream knows.
type StreamMessage struct {
	ID   chat.MessageID
	To   chat.Mailbox
	Text []byte
}

// StreamClient is the way back to the client of a stream. Its methods never block, and may be called from any goroutine;
// after End they do nothing.
type StreamClient interface {
	// Answer answers the call with this ref: done, with the message's place if it was a Send, or refused.
	Answer(ref uint64, seq chat.Seq, refusal *chat.Error)

	// Deliver gives the client messages of one mailbox, in order. It reports false, and takes none of them, when there
	// is no room on the way; then they are to be offered again later. Texts are shared and never changed.
	Deliver(messages []chat.Message) bool

	// End ends the stream. With nil the node that served it is about to end, and the client is to log in elsewhere; else
	// [chat.AsError] can read why. Answers that are still due come before it, or never.
	End(why error)
}
