// Package client is the client of multichat as a library. It speaks version 2 of the protocol with a [Stream], and version
// 1, that of the first clients, with a [V1]. The specification of both is the package comment of multichat/internal/wire.
//
//	s, err := client.NewStream(client.StreamConfig{
//		Proxies: proxies, User: "alice", Password: password, Device: device,
//		Take: func(m chat.Message) error {
//			_, err := fmt.Printf("%s: %s\n", m.FromName, m.Text)
//			return err
//		},
//	})
//	...
//	go func() { ended <- s.Serve(ctx) }()
//	result, err := s.Send(ctx, "bob", []byte("hello"))
//
// [Stream.Serve] keeps one connection to one of the proxies. It logs in, gives messages to Take, sends what is in the
// outbox, and takes the next proxy when the connection is lost, when a proxy says bye, and when one has not answered for
// 2 s, nor a ping for 2 s more. [Stream.Post] puts a message into the outbox, [Stream.Send] waits for its answer besides.
//
// # What is promised
//
//   - A message that Send or Post's done reports without an error is stored durably, once, however often it had to be sent:
//     it keeps its id through all connections and proxies.
//   - Messages to one recipient are stored in the order posted, but for one that the system refused for the moment. Later
//     ones that were not written yet wait for it.
//   - Take is given each message once in the life of a Stream, and in order within a mailbox. It counts as delivered when
//     Take has returned nil. What was taken right before a process died comes again to the next; Serve's own end tells the
//     system what was taken first, as far as a proxy answers within 2 s.
//   - Memory is bounded: 1024 messages or 1 MiB in the outbox, 512 messages that wait for Take.
//
// # What an error means
//
//	[ErrUnreachable]                 no proxy answered at first; nothing was sent
//	[ErrNotSent]                     the message was never handed to the system, and will not be
//	[ErrOutboxFull]                  the message was not taken: too many wait. Try again after a Room
//	[*chat.Error], code unknown      the message may be stored; to send it again may send it twice
//	[*chat.Error], any other code    the system, or a check made here, refused; nothing was stored
//	[context.Canceled] and the like  a Serve, a Receive, or a version 1 Send that had not begun, was ended by its context
//
// They are found by errors.Is and errors.As. Of Serve a [*chat.Error] means that the login was refused for good, or that a
// newer stream of this device took over. Through a stream, busy, unavail and unknown are told only when ctx or Serve ends,
// since the message is sent again until then.
//
// # TLS
//
// A proxy at tls://HOST[:PORT] has to prove its name to the authorities of StreamConfig.TLS, or to the system's. To one at
// HOST[:UDP/TCP] everything goes in clear, passwords too.
//
// # What version 1 cannot do
//
//   - A poll is never answered. So Receive cannot tell a wrong password from a mailbox without news: Send something to
//     find out. And it notices that a proxy is dead only when the proxy's host says that nobody listens there, which a
//     host that is itself down or cut off does not say. It leaves such a proxy when a Send found that it does not
//     answer, and else waits for it.
//   - The system must be able to dial the client, so Receive does not work through NAT, but for that of the proxy's own
//     host. Whoever can reach the listening port can bring forged messages there.
//   - There is no TLS: the password travels in clear.
//   - A message has no id of the sender's, so what became of it is not known when its answer is lost.
//   - A message carries neither its id nor its place in the mailbox. One that comes again after a fault cannot be told
//     from one that was sent twice, and is given twice. A message over 4095 bytes arrives cut, with … as its end.
package client
