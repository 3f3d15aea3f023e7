package server

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/chat"
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

func TestAnOutageThatComesAndGoesIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		var o outage
		for range 500 { // 50 seconds
			o.report(log, errors.New("broken"), "down", "up")
			time.Sleep(50 * time.Millisecond)
			o.report(log, nil, "down", "up")
			time.Sleep(50 * time.Millisecond)
		}
		if downs, ups := strings.Count(out.String(), "msg=down"), strings.Count(out.String(), "msg=up"); downs != 1 || ups != 1 {
			t.Errorf("its beginning is logged %d times, its end %d times:\n%s", downs, ups, out.String())
		}
	})
}

func TestAnOutagesNewReasonIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		var o outage
		for range 100 { // 10 seconds
			o.report(log, chat.Errorf(chat.CodeUnavail, "no answer"), "down", "up")
			time.Sleep(100 * time.Millisecond)
		}
		for range 100 {
			o.report(log, chat.Errorf(chat.CodeUnavail, "refused"), "down", "up")
			time.Sleep(100 * time.Millisecond)
		}
		if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), "refused") {
			t.Errorf("%d lines, want one for each reason:\n%s", n, out.String())
		}
	})
}
