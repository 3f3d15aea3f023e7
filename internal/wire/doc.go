// Package wire is the codec of what goes over the network between clients and multichat. It does no I/O of its own, and
// this comment is the specification.
//
// There are two versions, and both are served on the same ports. Version 1 is what the first clients speak: a connection
// for each message, and polls by datagram. Version 2 keeps one connection open in both directions and acknowledges what
// arrives.
//
// # Version 1
//
// There are two public ports, by default UDP 9001 for polls and TCP 9002 for sending, and three messages:
//
//	poll    client → system   poll:userid:password:listen_port          one UDP datagram
//	wrmsg   client → system   wrmsg:userid:password:userto:text         one TCP connection, ended by the client's close
//	newmsg  system → client   newmsg:timestamp:username:userid:text     one TCP connection to the client's own address and
//	                                                                    listen_port, ended by the system's half-close
//
// userid and username are 1 to 64 bytes of UTF-8 without : ; % # or control characters, and have no space at either end.
// A password is up to 128 bytes of UTF-8 without : or control characters; it may be empty. userto is a userid, or % for
// everyone but the sender; a message to oneself is one like any other. timestamp is Unix seconds in decimal, from 0 to
// the end of the year 9999. A text is opaque: any bytes but NUL, expected to be UTF-8, stored and delivered as they came.
// It is everything after the fourth colon, further colons and newlines included, and may be empty; its limit is 4000
// bytes unless the system is set otherwise, to 64 KiB at most. What is over a limit is refused and never cut.
//
// # Polls
//
// A client polls once a second for as long as it runs, and gets no answer to it: what waits for it is brought to its
// listen_port. A wrong password, a malformed poll and an unknown user get nothing either; they are counted. A poll is at
// most 512 bytes, a trailing newline included. One trailing \n or \r\n is tolerated. listen_port is 1 to 5 decimal digits
// with a value up to 65535, without sign or space. A poll;… by datagram belongs to version 2's streams: it is dropped,
// and counted apart ([ErrStreamPoll]).
//
// Two generations of clients print listen_port differently: the older one prints htons(port), so that a client listening
// on 10001 (0x2711) sends 4391 (0x1127); the newer one prints the port itself. [Readings] gives both. Which is meant is
// settled by an empty connection (connect, half-close, orderly close), which clients of both generations pass over, and
// no text goes to a reading that is not settled, since it may be the port of another user's client behind the same
// address. Both are tried in one round; when both answer, nothing is delivered until one stops. What is settled counts
// for that address, userid and listen_port, and is forgotten when it fails; the port is then that userid's until it has
// not polled for 30 s, and another userid gets nothing there. Only the source address of a poll is ever dialled, and only
// in answer to one. A reading below [MinListenPort] is never dialled: so a client is never in doubt whose port has such
// another reading, and port 0 is well-formed but never dialled.
//
// # Sending
//
// A text ends at end of file, so the client closes when it has sent it, or half-closes if it wants to read the answer. A
// connection that breaks before that has sent nothing. The answer is one line, after which the system closes:
//
//	ok;id=M;seq=S            stored durably; M is the id that the system gave the message, S its place in the mailbox
//	err;id=M:CODE:sentence   not done, and why
//
// Without an id, as when the request could not be read, the line is err:CODE:sentence. The first clients never read the
// answer and may be gone by then, which is no error. Every refusal that can be told before the end of file is told then;
// the system half-closes and drops some further input, so that a reset does not eat the line. A connection that ends
// without a byte ([ErrEmpty]) is a probe: it is closed without an answer.
//
// A verb is 1 to 16 of a-z. The byte after the first verb of a connection tells the version ([Version]): a colon is
// version 1, a semicolon, a newline or a carriage return version 2. An unknown verb, another byte in it, and poll: are
// badreq, as are a missing field, a field not of its form, and a NUL in the text. What comes before the text is at most
// 1 KiB ([MaxHeader]).
//
// # Delivery
//
// There is one newmsg per connection. Clients read to end of file, look at one message, and close: the client's orderly
// close after the system's half-close is its receipt. A reset, a refusal, a byte sent back and two seconds of silence
// are none, and the message comes again with a later poll. A poll brings all that waits, the user's own mailbox first and
// then %, each in order, until one gives no receipt. So a client may see a message twice around a fault, and a client
// that closes only once it has kept the message loses none.
//
// The first clients read at most 4095 bytes safely. For them a longer newmsg is cut to that ([MaxNewmsg]): no character
// is split, and … is the end. Bytes that are not UTF-8 are cut anywhere.
//
// # The grammar of both versions
//
//	verb;key=value;key=value:field:field…
//
// A verb may carry attributes. A key is 1 to 16 of a-z 0-9, a value 1 to 64 bytes of UTF-8 without : ; or control
// characters (it may hold =). Their order means nothing and an unknown one is passed over; the same key twice, or more
// than 16 of them, is badreq. The last field of a message is all that is left, so it may hold colons. Numbers are decimal
// digits without sign.
//
// The sentence of an err is for a person: one line of at most 512 bytes, control characters replaced by spaces. CODE, 1
// to 16 of a-z, is for programs, which treat one that they do not know as a refusal:
//
//	auth      who you are is wrong; only after a comparison was made
//	badreq    the request is not of this form
//	toolarge  a field is over its limit
//	nouser    the recipient does not exist
//	conflict  this id was used for another text
//	busy      over a limit; nothing was stored, try later
//	unavail   a part of the system that this needs is down; nothing was stored
//	unknown   it may have been stored; send again with the same id
//	replaced  a newer stream of this device took over
//	slow      you do not read
//
// # Version 2: frames
//
// Version 2 keeps one TCP connection open in both directions, so it needs no way back to the client and works through
// NAT and firewalls. Every frame ends with a newline. A frame with a text gives its length in bytes as len: the text is
// exactly that long, may hold anything but NUL, and is followed by the newline. A frame's header, all before the text,
// or the whole of a frame without one, is at most 1 KiB.
//
//		poll;v=2;id=R;dev=D:userid:password:0              client  log in; new messages are pushed on this connection (port 0)
//		wrmsg;id=M;len=N:userid:password:userto:TEXT       client  send, under the sender's own message id
//		ack:MAILBOX:SEQ  and  ack;id=R:MAILBOX:SEQ         client  all of that mailbox up to and with SEQ is here
//		ping;id=R  and  pong;id=R                          both    liveness
//		bye                                                both    orderly end
//		ok;id=R  and  ok;id=M;seq=S                        system  done; for a wrmsg: stored durably
//		err;id=R:CODE:sentence                             system  not done
//		newmsg;id=M;to=MAILBOX;seq=S;len=N:timestamp:username:userid:TEXT
//		                                                   system  a message
//
//	  - poll: v is 2, and what else it may be is named in the badreq. The port is 0. dev names the device, "default" when
//	    it is missing. push=0 is this project's extension: nothing is pushed on such a stream, so it has no device, replaces
//	    none and acknowledges nothing; it is for who only sends. push=1 says what is so without it.
//	  - wrmsg: id and len are needed. userid and password are both empty, which is for a stream that has logged in, or both
//	    of their form; as in version 1, a user may have an empty password.
//	  - newmsg: id, to, seq and len are all needed, and the seq is not 0. A text of version 2 is never cut.
//	  - A seq is decimal and below 2^63. To acknowledge 0 is allowed and means nothing.
//	  - An id may be left out where no answer to it is wanted or told apart: of a poll, an ack, a ping. A pong names its
//	    ping's id, and none if that had none.
//	  - Before the newline of a frame without a text one carriage return is tolerated. After a text comes the newline at once.
//	  - Fields of a verb that has none, as in bye:now, are passed over.
//
// A frame that is wrong is answered err with its id, if it has one, and the stream goes on, as long as it is known where
// the frame ends ([Malformed]). So it is with an unknown verb; a field that is missing, not of its form or over its limit;
// a wrmsg without an id; poll: and its like; a NUL in a text; and a text over its limit, which is passed over. Of what is
// wrong otherwise the err names no id of the frame's, and the connection ends:
//
//   - a wrmsg or newmsg without a len, with one that is no number, or with a newline before its text: badreq. So is the
//     wrmsg: of version 1, but for a connection's first verb;
//   - a text that is not followed by the newline: badreq;
//   - a len in any other frame, known or not, since a text might follow: badreq;
//   - a verb or attributes that are not of the grammar above, as an empty line is not: badreq;
//   - a header over 1 KiB, or a len over 1 MiB, more than is passed over: toolarge.
//
// A connection that breaks within a frame has not sent it.
//
// # Version 2: streams
//
//   - A connection's first frame is a login, or a wrmsg with its credentials, which is then the only one: send, read one
//     line, close. A connection whose first frame is refused ends.
//   - Frames may follow a login before its ok. If it is refused they are not done, and the connection ends after the err.
//     Pings, up to the first other frame, are answered while the login is being decided, so their pongs come before its
//     answer.
//   - Devices of one user read independently of each other.
//   - Replies name the id that they answer and come in any order. At most 1024 sends or 1 MiB of their texts may be
//     unanswered on a stream; a send beyond is answered busy. Acks and pings are always read.
//   - MAILBOX is the reader's userid or %. An ack with an id is answered once the cursor is stored, one without an id only
//     if it is refused. One above the newest seq of the mailbox's shard is badreq and changes nothing.
//   - Any frame counts as life. After 30 s without one the system pings, and closes after 15 s more. A client that has
//     waited 2 s for an answer pings, and after 2 s more takes the next proxy.
//   - A newer stream of the same user and device replaces the older, which is closed and does not come back by itself.
//     Its acks no longer count; what was only pushed to it is pushed again.
//   - A client that does not read is closed as slow, and may come back. What it did not acknowledge waits.
//   - The err that ends a stream, such as replaced and slow, names the id of its login, and no other err after the ok does.
//     So a login should have an id, and one that nothing else on the stream has.
//   - The system sends bye before it goes away; the client then connects anew. A client that says bye is answered what is
//     still due to it, and the connection ends.
//   - Once a request was handed to a second server, busy and unavail are answered as unknown: the first server may still
//     wake and store it.
//
// # Limits
//
// Each is a setting; these are the defaults, and hold for both versions. An IPv6 client's address is its /64 here.
//
//   - Sends of one user: 200 a second, and up to 1000 at once after a rest. One beyond is answered busy.
//   - Streams of one user: 64. A login beyond is answered busy.
//   - Polls from one address: 2000 a second. One beyond is dropped, and counted.
//   - Connections from one address: 4096. One beyond is answered busy and closed. In a flood of them some are closed
//     without an answer, and counted.
//
// # What delivery promises
//
//   - An ok to a wrmsg is sent after the message is committed durably on its shard.
//   - The same sender, id and recipient again gives one stored message and the same ok, for as long as the message is
//     kept; with another text it is conflict. A wrmsg without an id gets one from the system, so that retries inside the
//     system never double it.
//   - A message's seq grows within its mailbox in commit order, with gaps. Who has seen seq n will never be given a
//     message at or below n that it has not seen. What one stream sends to one recipient is stored in the order sent, but
//     for what got an err in between.
//   - Each of the recipient's devices gets each message at least once, in seq order within a mailbox. A version 2 client
//     shows each once, by mailbox and seq. A version 1 device is its userid, address and the listen_port that it sends.
//   - What is not acknowledged waits, through restarts and for users who are away, until it is deleted for its age: 30
//     days by default. What is acknowledged is kept as long, since it is also what makes a retry harmless.
//   - A user's first device starts with everything that waits, a further one where the most advanced of the others is. Of
//     %, a user gets what was sent after the user was created. A device not seen for 30 days is forgotten, and beyond 32
//     devices of a user the one unseen longest.
//   - Sending to a user who does not exist is nouser, never silence.
//   - A send whose shard does not answer is held for up to 10 s by default and then answered: unavail if the shard never
//     had it, else unknown.
package wire
