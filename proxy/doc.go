// Package proxy routes clients to servers. It is an [edge.Handler]: it hashes a client's address onto the ring of the
// servers that are alive, and hands the call to the owner over that server's link. What a server pushes comes back over
// the same link and leaves through this proxy's edge.
//
//	edge ── Poll, Send ──► Proxy ── route ──► link.Conn of the owner ──► server
//	edge.DialBack ◄── Push ─────────────────  link.Conn              ◄── server
//
//	edge ── Login ──► Proxy ── route ──► link.Conn of the owner    then, for as long as the client stays:
//	edge ── Send, Ack, Close ──► stream ──► the link's end of the stream at its present server
//	edge ◄── Answer, Deliver, End ── stream ◄── leg ◄──  the same
//
// # Who owns what
//
// [Proxy.Serve] is one goroutine, the only one that decides. It owns the peers (one for each server that the gossip
// names) and swaps the route, an immutable pair of a ring and the links behind its names, that Poll, Send and Login read
// without a lock. Each peer has a goroutine of its own that dials, works the link, and dials again. One more goroutine
// computes rings for losses that have not happened yet, and one answers what servers have left unanswered for too long.
//
// A stream has no goroutine but while it is taken over. Its calls come from the edge, and what it tells the client from
// the readers of links. Nobody holds a lock while a link is called (stream.hand), and only the stream's lock for that
// direction while its client is told something.
//
// # Who is alive
//
// The gossip says which servers there are; their links say which of them live. A server whose link breaks is out of the
// route at once. One that leaves a ping unanswered for half a second is given up, its link is closed, and nothing that it
// says later is heard; but only one in a second, and none while more than half of the servers are late, since then it
// is more likely this proxy, or the network before it. A server that is new, or was lost, is used once its link
// has lasted for 2 s, or at once if there is no other; and whoever is in use stays in use until it is lost. A proxy that
// has just begun uses nobody until it has a link to every server, or for a second.
//
// A server that drains gets nothing new. Whom the gossip no longer names keeps its link for as long as a send may wait
// for an answer on it, unless it is silent, too.
//
// # What is sent again
//
// A send that got no answer when its link broke goes to the next owner of the client at once, under the id that it has,
// so that it is stored once. That happens three times at most, and after the first time once in 2 s. Then, or after
// 14 s, the answer is unknown. Polls are not sent again: the next one comes within a second.
//
// A server pushes to its own clients only: when the route changes each push ends with the message on its way, and one for
// a client that is another server's by then is refused, since that one begins where the store says.
//
// # Streams that lose their server
//
// A stream stays where it is when servers join: only new logins go by the new ring. When its link breaks, or its server
// sends it away because it drains, it is taken over: the proxy logs in at the next owner of the client's address, with the
// ticket in place of the password, which nobody has kept, and says what the client was given. Then it says again the
// newest ack of each mailbox, and what is unanswered, in order, and then what the client has sent meanwhile. Nothing that
// the old server says is heard from then on; what both push is given once. The client notices nothing but the pause.
//
// The first takeover of a stream comes at once, further ones once in 2 s. What four servers were handed, or none has
// answered for 14 s, is answered unknown. A stream that no server takes within 12 s ends, as does one that a server
// refuses for good: the password was changed, or a newer stream has the device. A stream without a ticket ends with a bye:
// its client has the password, and logs in anew.
//
// # Tickets
//
// A server that has checked a password gives a ticket for it, which the proxy adds to that user's later calls, so that no
// server need check again. It keeps tickets under the name that an HMAC with a key of this process gives to a user with a
// password, up to 65 536 of them besides those of open streams. A proxy that has lost one costs a server a hash.
package proxy
