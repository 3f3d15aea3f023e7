package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
)

// logLevels are the levels that can be asked for, by flag or while the node runs.
var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

const maxLevelText = 16 // bytes of a level that is asked for

// handleLogLevel says what is logged.
func (a *admin) handleLogLevel(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, strings.ToLower(a.level.Level().String()))
}

// handleSetLogLevel changes what is logged, until the node ends. An admin listener may be open to the machines that
// watch; those are not to change anything.
func (a *admin) handleSetLogLevel(w http.ResponseWriter, r *http.Request) {
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !from.Addr().Unmap().IsLoopback() {
		http.Error(w, "the log level can be changed from this machine only, by way of its loopback interface", http.StatusForbidden)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLevelText))
	level, known := logLevels[strings.TrimSpace(string(text))]
	if err != nil || !known {
		http.Error(w, "send debug, info, warn or error", http.StatusBadRequest)
		return
	}
	a.setLevel(level)
	a.handleLogLevel(w, r)
}

// setLevel says so in the log, whatever the level was and will be.
func (a *admin) setLevel(level slog.Level) {
	a.settingLevel.Lock()
	defer a.settingLevel.Unlock()
	old := a.level.Level()
	a.level.Set(min(old, level, slog.LevelInfo))
	a.log.Info("log level", "from", old, "to", level)
	a.level.Set(level)
}
