package server

import (
	"log/slog"
	"time"

	"multichat/internal/chat"
)

// outage logs that something does not answer: at the beginning, once a minute while it lasts, sooner if the reason is
// another one, and at its end. One that comes and goes is one outage for a minute. The zero value is ready to use, by one
// goroutine.
type outage struct {
	since  time.Time // zero while all is well
	told   bool      // that it has begun
	logged time.Time
	reason string // that was logged last
}

const (
	outageLogInterval  = time.Minute
	outageReasonChange = 5 * time.Second // the least time between lines of different reasons
)

func (o *outage) report(log *slog.Logger, err error, down, up string) {
	now := time.Now()
	if err == nil {
		if o.told {
			log.Info(up, "after", now.Sub(o.since).Round(time.Millisecond))
		}
		o.since, o.told = time.Time{}, false
		return
	}
	if o.since.IsZero() {
		o.since = now
	}
	pause, reason := outageLogInterval, chat.AsError(err).Reason
	if reason != o.reason {
		pause = outageReasonChange
	}
	if now.Sub(o.logged) >= pause {
		o.told, o.logged, o.reason = true, now, reason
		log.Warn(down, "error", err)
	}
}
