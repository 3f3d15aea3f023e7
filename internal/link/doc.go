// Package link is the connection between a proxy and a server: one per pair, dialled by the proxy, TLS 1.3, mutually
// authenticated by the cluster key. It makes an [edge.Handler] remote, and all that goes with one:
//
//	proxy                                       server
//	[Conn.Poll]    ──── poll ───────────────►   Handler.Poll     one way, dropped and counted when the queue is full
//	[Conn.Send]    ──── send, reply ────────►   Handler.Send     one answer per id
//	[Conn.Login]   ──── login, welcome ─────►   Handler.Login    one answer per id, which then is the stream's
//	Stream         ──── send, ack, close ───►   Stream           in the order of the calls
//	StreamClient   ◄─── answer, deliver, end    StreamClient     in the order of the calls
//	TicketKeeper   ◄─── ticket ──────────────   Caller.Tickets   one way, dropped when the queue is full
//	Pusher.Push    ◄─── push, reply ─────────   back.Push        the answer is the client's receipt
//	               ──── ping, pong ─────────►                    liveness, every 100 ms
//
// A proxy calls [Dial] and then [Conn.Serve], which ends when the link does. A server calls [Listen] and then
// [Listener.Serve]. Neither constructor starts a goroutine, and neither Serve leaves one behind. The package decides
// nothing: which server to dial, when a silent one is given up and what is sent again is the proxy's policy.
//
// # Who is at the other end
//
// An [Identity] is all there is to configure, and it is made of the cluster key alone: the key gives a certificate
// authority, the same in every process, and each process signs a certificate for itself. Who cannot do that gets no
// further than the TLS handshake; what another key looks like is [ErrOtherKey]. Then each end says hello: versions,
// role, name. A server that is not the one that was dialled, because an address has been given to another since, is
// [ErrOtherPeer].
//
// # Frames
//
// Numbers are big-endian. A frame is
//
//	length uint32   of what follows, 9 to 1 MiB
//	kind   uint8    hello 1, ping 2, pong 3, poll 4, send 5, reply 6, push 7; of streams, from a proxy: login 16,
//	                send 17, ack 18, close 19; from a server: welcome 24, answer 25, deliver 26, end 27, ticket 28
//	id     uint64   of the request or ping that a reply or pong answers; the stream's; else 0
//	body            see codec.go; a string is its length as an unsigned varint, and its bytes
//
// Ids count upward from 1: those of the requests in each direction, and those of streams, which are the proxy's to
// give. Replies come in any order.
//
// The first frame each way is the hello: the version the node speaks, the oldest that it understands (each uint16), its
// role (uint8), its name; what may follow in the body is ignored. Both speak the older of the two versions, and a node
// understands the version before its own, so that a tier is upgraded node by node. Nodes further apart refuse each
// other and name both versions. All that follows is fixed by the version, so whatever does not parse ends the link; but
// kinds from 128 are hints, passed over by who does not know them.
//
//	version 1   kinds 1 to 7; of a caller the address alone travels
//	version 2   kinds 16 to 31 too; a caller's ticket and holder travel with its polls, sends and logins
//
// Over a link of version 1 a login is answered unavail, and no tickets are given.
//
// # Streams
//
// A login makes a stream, whose id both ends know until it is closed. The proxy says close once, as the last word:
// because the client is gone, because nobody waits for the login any more, or in answer to the server's end. The server
// says welcome once, and end once, as its last word; a delivery may come before the welcome, an end may not. What is
// said to a stream that was closed meanwhile is passed over.
//
// A delivery for which the client has no room is kept at the proxy, and offered again with each tick. A server gives no
// more than a window ahead of the client's acks, so little is kept; a client for whom it is over 1 MiB is slow, and its
// stream ends.
//
// # Bounds
//
// Frames gather in one buffer per direction while the writer is busy, and go out together. Its size in bytes decides
// what is still taken (QueueBytes, 4 MiB by default):
//
//	polls, tickets    up to half of it; then dropped, and polls are counted
//	deliveries        up to half of it; then not taken, and to be offered again
//	what is asked     up to all of it; then a send or a login is busy, and a push is answered [edge.PushBusy]. Of acks
//	                  that want no answer, the newest of each mailbox goes with a later tick
//	what is answered  up to twice that; then the other end does not read, and the link is broken. A stream's end and close
//	                  are of this sort, too
//	pings and pongs   have a small buffer of their own that is written first, so they wait behind at most one write
//
// Requests in flight, streams and handlers at work are bounded in number, with the same answers. A push of many
// messages travels in parts, one after the other; so does a delivery, but all of it is queued at once, or nothing.
//
// # Life and death
//
// The proxy pings, one ping unanswered at a time; a server answers from its reader, before any work, so that a server
// under load does not look dead. [Conn.Silence] says how long an answer has been waited for. A server hangs up on a
// proxy it has not heard for 3 s. Both count in their own ticks: time that a process slept through itself, because it
// was stopped or starved, accuses nobody.
//
// When a link ends, whatever waits for an answer gets [ErrBroken], and nothing said on it later is heard. A send that
// is being handled then goes on, since nobody knows how far it is and its id makes a repetition harmless; only its
// reply is lost. A push that is under way is cancelled: it comes again with a later poll. What is asked of a link that
// has ended already gets [ErrNotSent], an ErrBroken that did no harm.
//
// Every stream ends with its link: its client at the proxy gets an End that is an ErrBroken, its Stream at the server
// is closed, each once, and nothing comes after. A login that is in hand is cancelled; should it open a stream all the
// same, that is closed.
//
// A server that is shut down refuses new sends and logins, which the proxy sees as ErrNotSent, and lets those in hand
// finish; after a while it cancels them, and gives them a moment to answer even so. Then it closes behind its last
// reply. It does not wait for streams: the handler has ended those that it wants to end well, and the others end with
// the link.
package link
