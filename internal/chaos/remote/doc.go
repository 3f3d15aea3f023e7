// Package remote spreads the clients of a run over other processes, such as containers with addresses of their own. Each of
// these calls [Serve], which works as one client of a [chaos.Load]; the driver of the run has a [Crew] of them, which it
// uses like a Load.
//
// They speak over a Unix socket that the driver listens on. The driver is told all that happens, in the order of its time,
// though each client tells for itself: a client says at least every [beat] that until then nothing else has happened to it,
// and the Crew holds back what is newer than what it has been told by all.
package remote

import (
	"time"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/checker"
)

// Task says which client a process is, and in which run. It is the first that the driver sends, after the hello.
type Task struct {
	Seed                     uint64
	Proxies                  []client.Address
	Users                    []chat.UserID
	Password                 string // of all users; it protects nothing
	Streams, Libraries, Olds int    // clients of all processes
	Rate                     int    // messages a second of all of them
}

// hello is the first that a client sends.
type hello struct {
	Number int // of the client, from 1
}

// order is what the driver sends after the task.
type order string

const (
	send  order = "send"
	pause order = "pause"
	end   order = "end"
)

// line is what a client sends after its hello: a record, with its time by [chaos.Clock], or a beat, which is a time alone.
type line struct {
	Record checker.Record
	Begun  bool   // the client reads, and has been announced
	Failed string // the client cannot go on, and why
}

const (
	beat = 50 * time.Millisecond

	// silence is how long a client may say nothing. The driver keeps what others say in memory meanwhile.
	silence = 30 * time.Second
)
