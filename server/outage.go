package server

import (
	"log/slog"
	"time"
)

// outage logs that something does not answer: once at the beginning, once a minute while it lasts, and once at its end.
// The zero value is ready to use, by one goroutine.
type outage struct {
	since, logged time.Time
}

const outageLogInterval = time.Minute

func (o *outage) report(log *slog.Logger, err error, down, up string) {
	now := time.Now()
	if err == nil {
		if !o.since.IsZero() {
			log.Info(up, "after", now.Sub(o.since).Round(time.Millisecond))
			*o = outage{}
		}
		return
	}
	if o.since.IsZero() {
		o.since = now
	}
	if now.Sub(o.logged) >= outageLogInterval {
		o.logged = now
		log.Warn(down, "error", err)
	}
}
