package server

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnOutageIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		lines := func() int { return strings.Count(out.String(), "\n") }
		var o outage
		o.report(log, nil, "down", "up")
		if lines() != 0 {
			t.Errorf("it was never down: %s", out.String())
		}
		for range 1200 { // two minutes
			o.report(log, errors.New("broken"), "down", "up")
			time.Sleep(100 * time.Millisecond)
		}
		if lines() != 2 {
			t.Errorf("%d lines in two minutes: %s", lines(), out.String())
		}
		o.report(log, nil, "down", "up")
		o.report(log, nil, "down", "up")
		if lines() != 3 || !strings.Contains(out.String(), "msg=up after=2m0s") {
			t.Errorf("its end is not logged once: %s", out.String())
		}
		o.report(log, errors.New("broken"), "down", "up")
		if lines() != 4 {
			t.Errorf("the next one is not logged at once: %s", out.String())
		}
	})
}
