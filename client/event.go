package client

// Event is news of a stream's connection.
type Event struct {
	Kind  EventKind
	Proxy Address
	Err   error // why, unless Kind is Connected
}

// EventKind says what happened.
type EventKind int

const (
	Connected EventKind = iota // the login was accepted
	Lost                       // a connection that was Connected has ended; another is tried
	Failed                     // a proxy did not answer, or refused for the moment; the next is tried after a pause
)

func (k EventKind) String() string {
	switch k {
	case Connected:
		return "made"
	case Lost:
		return "lost"
	case Failed:
		return "failed"
	}
	return "unknown"
}
