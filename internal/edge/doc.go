// Package edge is where clients meet the system: it turns datagrams, connections and streams into calls of a [Handler],
// and what the handler says into frames, or into connections back to version 1 clients. A proxy is an edge with routing
// behind it; a server that serves clients by itself is the same edge with the business logic behind it.
//
//	clients ── UDP poll ────────────►  pollListener ─► Handler.Poll
//	        ◄─ TCP newmsg ───────────  DialBack ◄───── Pusher.Push
//	        ── TCP or TLS wrmsg ────►  connServer ───► Handler.Send
//	        ── TCP or TLS poll;v=2 ─►  connServer ───► Handler.Login
//	        ── wrmsg, ack ──────────►  streamConn ───► Stream.Send, Ack, Close
//	        ◄─ ok, err, newmsg, bye ─  streamConn ◄─── StreamClient.Answer, Deliver, End
//
// The edge keeps no state about version 1 clients but how often each address has polled in this second: who polled,
// which reading of a listen_port is right and what waits is known by the business logic, which a hash of the client's
// address leads to the same place from every edge. So a million clients cost an edge nothing but their traffic.
//
// # Connections
//
// A connection's first verb tells its version. Version 1 sends one message, ends it with its half-close, and gets one
// line. Version 2 begins with a login, and is a stream from then on; or with a wrmsg that has its credentials in it, and
// then it gets one line too. A bye closes it without one; any other frame is badreq. A line is written, the connection
// half-closed, and up to 64 KiB or 1 s of input dropped, so that a reset does not eat the line.
//
// # Streams
//
// A stream is one goroutine that reads, and another one while there is something to write; the first alone calls the
// Stream. Idle, it keeps a read buffer of 2 KiB and a stack of 4 KiB, and no output buffer. The edge owns what is between
// the client and its frames: it pings, counts what is unanswered, and ends the stream of a client that is silent or does
// not read. Refs are given here, and are 1, 2, 3 and so on for what is to be answered: each send, and each ack with an
// id.
//
// While a login is being decided, a goroutine beside the connection's answers pings, up to the first other frame, so
// that its client does not take a busy system for a dead node. But for their pongs, the login's ok comes before all
// else, even if the handler has more to say earlier. After a login that was refused nothing is said, and nothing done,
// of what came with it. A wrmsg on a stream has no credentials; an ack names the user's own mailbox or %, and is badreq
// on a stream that only sends. These, a second login and any frame whose end is known are refused with their id, and the
// stream goes on. Where it is not known where the next frame begins, err comes without an id, and the stream ends as
// with bye.
//
// How a stream ends, as Metrics.StreamEnds counts it:
//
//	client  it said bye or half-closed. What is due is still answered, for 12 s at most; then Stream.Close, and the
//	        connection is closed.
//	silent  no frame came for 30 s, nor for 15 s after a ping. The connection is reset.
//	slow    more than 1.5 MiB waits to be read, or a piece of 16 KiB was not taken in 15 s. What waits is forgotten. In the
//	        first case err;id=R:slow follows what is being written, and the client has 5 s to come to it.
//	lost    the connection broke.
//	bye     the handler said End(nil), or the edge itself leaves, see below.
//	CODE    the handler said End with that error, and err;id=R:CODE was told (R is the login's id), or a frame without a
//	        known end was answered so.
//
// After its last word the system half-closes, and drops what the client still sends, 2 MiB or 1 s of it; after End(nil)
// it waits for the client for Config.Grace.
//
// # Leaving
//
// Drain, and the end of Serve's context, say bye to every stream and open no more. A stream then goes on as before: sends
// and acks are taken and answered until its client closes. From the end of the context on no connection is made, and each
// that was made before is served: whoever has connected gets an answer. When Config.Grace is over after that, requests are
// cut off and streams ended; 3 s later no connection is left.
//
// # Bounds
//
//   - A datagram has at most [wire.MaxPoll] bytes; a longer one is dropped and counted.
//   - Config.MaxAddrPolls polls a second are taken from one client address; others are dropped and counted as addr_polls.
//     An address is an IPv4 one or the /64 of an IPv6 one, here and below.
//   - Config.MaxConns connections are served at once, streams included, and of them Config.MaxAddrConns from one address.
//     One more is answered busy; beyond 256 such answers at once it is closed and counted as conn_busy.
//   - A TLS handshake has 5 s. One that fails is counted as tls_handshake.
//   - A connection that sends nothing for 5 s, or whose request or login is not there after 30 s, is answered with an
//     error and closed. A login is decided within 10 s, else it is unavail.
//   - 1024 calls of a stream may be unanswered, and 1 MiB of texts; one more is answered busy. Acks without an id and pings
//     are always taken.
//   - 1.5 MiB of output may wait for a stream: the 256 KiB of each mailbox that a server gives ahead of the acks, and 1 MiB
//     for answers. When 256 MiB wait for all clients together, those with more than 64 KiB are slow as well.
//   - Config.MaxPushes pushes to clients are under way at once; one beyond is answered [PushBusy].
//
// # TLS
//
// A second listener takes over TLS 1.2 or 1.3 what the first takes without. Its certificate's files are looked at during a
// handshake, once a second at most, and read again when they have changed. While they cannot be loaded the former
// certificate stays in use, with a warning. A connection that ends without TLS's own end was cut: a message of version 1
// has not been sent then.
//
// # What it does not do
//
// It does not authenticate, and does not know who may send how much: the Handler does. It does not look into texts. It
// asks clients for no certificates.
package edge
