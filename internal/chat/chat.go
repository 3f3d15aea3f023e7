// Package chat is the model: who talks to whom, and what may be said. It does no I/O and imports only the standard
// library, so that every other package may speak its words.
//
// A [User] has a mailbox of the same name; [Everyone] is the mailbox of broadcasts. What is sent to a mailbox is a
// [Submission] until a shard has committed it; then it is a [Message] with a [Seq]. Each of a user's devices reads the
// user's own mailbox and Everyone, and a [Cursor] says how far.
package chat

import "time"

// UserID names a user; see [CheckUserID] for its form.
type UserID string

// Mailbox is where a message waits: a user's own, named as the user is, or [Everyone].
type Mailbox string

// Everyone is the mailbox that every user reads. A broadcast is stored in it once.
const Everyone Mailbox = "%"

// Mailbox is the mailbox that belongs to u.
func (u UserID) Mailbox() Mailbox { return Mailbox(u) }

// MessageID is the sender's own name for a message: it makes a retry harmless. It counts per sender and mailbox.
type MessageID string

// User is a row of the users table.
type User struct {
	ID   UserID
	Name string // shown beside the user's messages; see CheckName
	Hash string // the password's argon2id hash as a PHC string; empty lets nobody in

	// BroadcastFrom is the newest seq of Everyone's shard when the user was made: older broadcasts are not the user's.
	BroadcastFrom Seq
}

// Submission is a message that has been accepted for sending and is not stored yet.
type Submission struct {
	ID       MessageID
	From     UserID
	FromName string // the sender's name at the time of sending
	To       Mailbox
	Text     []byte // opaque, without NUL; never changed after submission
	Sent     time.Time
}

// Message is a stored message.
type Message struct {
	Seq      Seq
	ID       MessageID
	From     UserID
	FromName string
	To       Mailbox
	Text     []byte // opaque; shared between readers, so never changed
	Sent     time.Time
}

// Stored says what became of one submission. Either Err is nil and Seq is the message's place, for good, or Err is a
// definite refusal of this submission alone.
type Stored struct {
	Seq     Seq
	Existed bool // it had been stored before, by an earlier attempt under the same id
	Err     *Error
}

// Arrival is the reader's first look at a stored message: that it is there, and for whom.
type Arrival struct {
	Seq Seq
	To  Mailbox
}

// Head is the state of a shard that its readers watch.
type Head struct {
	Newest   Seq   // the seq given last; messages at or below it are committed or never will be
	UserRev  int64 // raised by every change of a user of this shard
	MapEpoch int64 // raised by every change of who serves which partition
}

// DeviceID names one of a user's devices: "default" and the like, or for a version 1 client its address and port.
type DeviceID string

// Device is one place where a user reads.
type Device struct {
	User UserID
	ID   DeviceID
}

// Cursor is how far a device has read. What lies above it waits.
type Cursor struct {
	Device
	Session   int64 // number of the newest login of this device; version 1 devices have none and stay 0
	Inbox     Seq   // the user's own mailbox: acknowledged up to and including
	Broadcast Seq   // Everyone: the same
	Seen      time.Time
}

// Login is a device's stream that begins, or goes on at another server. Each login of a device has a session number above
// those before it, see [NextSession].
type Login struct {
	Device
	Nonce uint32 // a random number of the stream, the same in each login for it; below 1<<SessionNonceBits

	// TakeOver says that the stream was open before: the device is its own only while nobody else has logged in.
	TakeOver bool
}

// Has tells whether a session is of the login's own stream, and not of another one that has the device.
func (l Login) Has(session int64) bool { return session&(1<<SessionNonceBits-1) == int64(l.Nonce) }

// SessionNonceBits is how many of a session number's low bits are the nonce of the stream that logged in.
const SessionNonceBits = 20

// NextSession is the number of the session that a stream with this nonce begins after old: above old, whatever the nonces
// are, and telling by its low bits whose it is. A device that nobody has logged in to has 0.
func NextSession(old int64, nonce uint32) int64 {
	return (old>>SessionNonceBits+1)<<SessionNonceBits | int64(nonce)
}

// SendHold is how long a send is held, unless a setting says otherwise, when its shard does not answer. Whoever waits for
// the answer to a send waits longer.
const SendHold = 10 * time.Second

// ClusterKeyBytes is the length of a cluster key.
const ClusterKeyBytes = 32

// MaxDevices is how many devices of one user are remembered; one more forgets the one unseen longest.
const MaxDevices = 32
