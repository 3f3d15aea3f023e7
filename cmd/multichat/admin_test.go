package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whoever may scrape the metrics may not turn the log off.
func TestTheLogLevelIsChangedFromThisMachineOnly(t *testing.T) {
	for from, status := range map[string]int{
		"127.0.0.1:4000":          http.StatusOK,
		"127.3.2.1:4000":          http.StatusOK,
		"[::1]:4000":              http.StatusOK,
		"[::ffff:127.0.0.1]:4000": http.StatusOK,
		"192.0.2.1:4000":          http.StatusForbidden,
		"[2001:db8::1]:4000":      http.StatusForbidden,
		"[fe80::1%eth0]:4000":     http.StatusForbidden,
		"":                        http.StatusForbidden,
	} {
		a := &admin{level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler)}
		request := httptest.NewRequest(http.MethodPut, "/loglevel", strings.NewReader("error"))
		request.RemoteAddr = from
		answer := httptest.NewRecorder()
		a.handleSetLogLevel(answer, request)
		changed := a.level.Level() == slog.LevelError
		if answer.Code != status || changed != (status == http.StatusOK) {
			t.Errorf("from %q: status %d, want %d; the level was changed: %v", from, answer.Code, status, changed)
		}
	}
}
