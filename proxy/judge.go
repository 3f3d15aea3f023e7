package proxy

import "time"

const (
	// giveUpAfter is how long a ping may go unanswered. It is five of the link's pings.
	giveUpAfter = 500 * time.Millisecond

	// lateAfter is the silence from which on a server counts as late. It is below giveUpAfter because links that fall
	// silent together are not pinged together: when the first is due, the last has up to 200 ms to go.
	lateAfter = giveUpAfter / 2

	// hopelessAfter is when even a majority of silent servers is given up: a connection that is dead for so long will not
	// come back, and a new one may.
	hopelessAfter = 10 * time.Second

	// giveUpPause is the least time between two servers that are given up for silence.
	giveUpPause = time.Second

	// probation is how long a new link must last before clients are sent there: a server that was lost may be lost again,
	// and one that is new takes clients over from others, which have until then to store what the clients have. There is
	// none for the links of a proxy that has just started, nor while there is no other server.
	probation = 2 * time.Second

	// gatherTime is how long a proxy that has just begun waits until it has a link to every server that the gossip names.
	// With a part of them it would lead clients to servers that are not theirs, for a moment, and those know only what is
	// stored of the clients: what they had been given since would come again.
	gatherTime = time.Second
)

// judge decides which silent server is given up. A broken link needs no judge: it is proof. Silence is not, so a proxy
// that hears nothing from most of its servers blames none of them, and it never gives up many at once.
//
// Late is late for half a second more: a link whose own timer was late counts its silence anew, and must not look as if
// it had been answered while the others still count.
type judge struct {
	last time.Time            // when a server was given up last
	late map[string]time.Time // when each linked server was late last
}

// condemn names the server to give up now, given for how long each has not answered; "" is none.
func (j *judge) condemn(silence map[string]time.Duration, now time.Time) string {
	late, worst := make(map[string]time.Time), ""
	for name, d := range silence {
		if d >= lateAfter {
			late[name] = now
		} else if before := j.late[name]; now.Sub(before) < giveUpAfter {
			late[name] = before
		}
		if worst == "" || d > silence[worst] || d == silence[worst] && name < worst {
			worst = name
		}
	}
	j.late = late
	switch majority := 2*len(late) > len(silence); {
	case silence[worst] < giveUpAfter, now.Sub(j.last) < giveUpPause, majority && silence[worst] < hopelessAfter:
		return ""
	}
	j.last = now
	return worst
}
