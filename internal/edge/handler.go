package edge

import (
	"context"
	"net/netip"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// Handler is what stands behind an edge: a server's business logic, or a proxy's routing to it. The link carries the
// same calls between the two.
type Handler interface {
	// Poll takes one poll. It never blocks: what it cannot take it drops and counts, as UDP would. The bytes of from and p
	// are valid only during the call. What waits for the client goes out through back, later.
	Poll(from Caller, p wire.Poll, back Pusher)

	// Send stores a message durably and returns its place, or an error that [chat.AsError] can read. m has an id. Its
	// text is the handler's to keep.
	Send(ctx context.Context, from Caller, m wire.Wrmsg) (chat.Seq, error)

	// Login opens a stream, or returns an error that [chat.AsError] can read. client's methods may be called before Login
	// returns, also when it returns an error; whoever gets a Stream closes it.
	Login(ctx context.Context, from Caller, l Login, client StreamClient) (Stream, error)
}

// Caller says where a call comes from. An edge knows the address alone; what a proxy knows besides, it adds.
type Caller struct {
	Addr netip.Addr // the client's

	// Ticket proves that the password which comes with it, or in its place, was found right before. Empty: there is none.
	Ticket chat.Secret

	// Holder is the proxy's name for this user with this password. A server that has checked a password and was given no
	// ticket, or an old one, gives Tickets a new one in this name. Tickets is nil where nobody keeps any.
	Holder  Holder
	Tickets TicketKeeper
}

// Holder names a user with a password without telling either. It means something to its proxy alone.
type Holder [16]byte

// TicketKeeper keeps tickets. KeepTicket never blocks, and may be called from any goroutine.
type TicketKeeper interface {
	KeepTicket(h Holder, ticket chat.Secret)
}

// Pusher is the way back to the clients that polled through it.
type Pusher interface {
	// Push takes messages to one client. An error means that nobody knows what the client got; what the receipt does
	// not name waits for a later poll.
	Push(ctx context.Context, p Push) (Receipt, error)
}

// Push is messages for one version 1 client, to be given in order, one connection each.
type Push struct {
	Client netip.Addr // the source address of an authenticated poll; nothing else is ever dialled

	// Ports are the readings of the client's listen_port. When Settled, there is one and it is known to be right;
	// else each is tried with an empty connection first, and messages go out only if exactly one answers as a client.
	Ports   []uint16
	Settled bool

	Messages []chat.Message

	// Stop, when it is closed, ends the push before its next message, as busy. It does not travel over links. nil: nothing
	// does so.
	Stop <-chan struct{}
}

// Receipt says what a client took of a push.
type Receipt struct {
	Taken   int     // the first Taken messages have arrived
	Port    uint16  // the reading that was settled, before or by this push; 0 if none was
	Outcome Outcome // why the push ended there
}

// Outcome says how a push ended. The values travel over links: they are never given another meaning.
type Outcome uint8

const (
	PushTaken     Outcome = iota // every message has its receipt
	PushRefused                  // no connection, or none that behaves as a client's does
	PushAmbiguous                // both readings of the port answered, so nothing was sent
	PushBroken                   // a connection ended without a receipt
	PushBusy                     // this end has too much to do, leaves, or serves the client elsewhere; the rest was not tried
)

var outcomeNames = [...]string{"taken", "refused", "ambiguous", "broken", "busy"}

// String is the outcome's name in metrics and logs.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}
