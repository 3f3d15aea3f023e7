// Package edge is where clients meet the system: it turns datagrams and connections into calls of a [Handler], and
// pushes into connections back to version 1 clients. A proxy is an edge with routing behind it; a server that serves
// clients by itself is the same edge with the business logic behind it.
//
//	clients ── UDP poll ──►  pollListener ──► Handler.Poll
//	        ── TCP wrmsg ─►  requestListener ► Handler.Send
//	        ◄─ TCP newmsg ─  DialBack ◄────── Pusher.Push
//
// The edge keeps no state about clients: who polled, which reading of a listen_port is right and what waits is known
// by the business logic, which a hash of the client's address leads to the same place from every edge. So a million
// clients cost an edge nothing but their traffic.
//
// # Bounds
//
// A datagram has at most [wire.MaxPoll] bytes; a longer one is dropped and counted. At most Config.MaxConns
// connections are served at once; one more is answered busy, and beyond 256 such answers at once it is closed and
// counted. A connection that sends nothing for 5 s, or has not sent its whole request after 30 s, is answered with an
// error and closed. At most Config.MaxPushes pushes to clients are under way at once; one beyond is answered [PushBusy].
//
// # What it does not do
//
// It does not authenticate: the Handler does. Version 2 is refused with a sentence.
package edge
