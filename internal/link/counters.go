package link

import "sync/atomic"

// Counters counts what links do, for metrics. One may be shared by all links of a process, over their lives.
type Counters struct {
	Polls        atomic.Int64 // polls queued for the wire
	PollsDropped atomic.Int64 // polls dropped because the queue was full or the link had ended
	SendsBusy    atomic.Int64 // sends refused at this end because a bound was reached
	PushesBusy   atomic.Int64 // pushes refused at this end because a bound was reached
	StreamsBusy  atomic.Int64 // logins of streams refused at this end because a bound was reached
	Writes       atomic.Int64 // writes to the network; Polls per write is what gathering brings
	BytesWritten atomic.Int64 // before encryption
	Refused      atomic.Int64 // connections that did not become links: another key, version or node, too slow
}
