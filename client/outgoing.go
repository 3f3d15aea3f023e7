package client

import (
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// frameRoom is how many bytes of a frame there are at most besides the text and the recipient.
const frameRoom = 80

// outgoing is a message in the outbox.
type outgoing struct {
	id   chat.MessageID
	lane *lane
	text []byte
	done func(Result, error) // may be nil

	written time.Time   // when it was on this connection; zero: it waits to be
	doubt   bool        // an earlier writing may have stored it
	refusal *chat.Error // why it was not stored when it was written last: busy or unavail; nil: never refused so
	again   time.Time   // not to be written before
	why     error       // why it is to be written again; nil: it was not written since that was told
	refused int         // times in a row that it was answered busy, unavail or unknown
}

func (m *outgoing) size() int { return frameRoom + len(m.lane.to) + len(m.text) }

// retry has the message written again, after a pause.
func (m *outgoing) retry(refusal *chat.Error, now time.Time) {
	m.again = now.Add(jitter(doubled(firstRetryPause, m.refused, longestRetryPause)))
	m.refused++
	m.lane.width = 1
	if refusal.Code == chat.CodeUnknown {
		m.doubt = true
	}
	m.refusal, m.why = refusal, refusal
}

// passes says whether what was refused with this code may be done when it is tried again.
func passes(code chat.Code) bool {
	return code == chat.CodeBusy || code == chat.CodeUnavail || code == chat.CodeUnknown
}

// outcome is what an answer that is for good means. The same id gives the same ok however often it is sent, so an ok
// is never in doubt; and a refusal of what was sent is the same each time, unless it is about who sends.
func (m *outgoing) outcome(r wire.Reply) (Result, error) {
	switch {
	case r.Err == nil:
		return Result{ID: m.id, Seq: r.Seq}, nil
	case r.Err.Code == chat.CodeAuth && m.doubt:
		return Result{}, maybeStored(r.Err)
	}
	return Result{}, r.Err
}

func maybeStored(why error) error {
	return chat.Errorf(chat.CodeUnknown, "the message may have been stored: %w", why)
}

// lane is what is under way to one recipient. As long as all goes well everything is. A send that has to be sent again
// closes the lane but for one, so that later ones do not overtake it; each one done opens it for one more.
type lane struct {
	to      chat.Mailbox
	waiting int // messages in the queue; the lane goes with the last
	flying  int // of those, written and unanswered
	width   int // how many may fly
	blocked int // the number of a look through the queue that found nothing more to write here
}
