// Package proxy routes clients to servers. It is an [edge.Handler]: it hashes a client's address onto the ring of the
// servers that are alive, and hands the call to the owner over that server's link. What a server pushes comes back over
// the same link and leaves through this proxy's edge.
//
//	edge ── Poll, Send ──► Proxy ── route ──► link.Conn of the owner ──► server
//	edge.DialBack ◄── Push ─────────────────  link.Conn              ◄── server
//
// # Who owns what
//
// [Proxy.Serve] is one goroutine, the only one that decides. It owns the peers (one for each server that the gossip
// names) and swaps the route, an immutable pair of a ring and the links behind its names, that Poll and Send read
// without a lock. Each peer has a goroutine of its own that dials, works the link, and dials again. One more goroutine
// computes rings for losses that have not happened yet.
//
// # Who is alive
//
// The gossip says which servers there are; their links say which of them live. A server whose link breaks is out of the
// route at once. One that leaves a ping unanswered for half a second is given up, its link is closed, and nothing that it
// says later is heard; but only one in a second, and none while more than half of the servers are late, since then it
// is more likely this proxy, or the network before it. A server that is new, or was lost, is used once its link
// has lasted for 2 s, or at once if there is no other; and whoever is in use stays in use until it is lost.
//
// A server that drains gets nothing new. Whom the gossip no longer names keeps its link for as long as a send may wait
// for an answer on it, unless it is silent, too.
//
// # What is sent again
//
// A send that got no answer when its link broke goes to the next owner of the client at once, under the id that it has,
// so that it is stored once. That happens three times at most, and after the first time once in 2 s. Then, or after
// 14 s, the answer is unknown. Polls are not sent again: the next one comes within a second.
package proxy
