package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

const (
	foreignEvery = 30 * time.Second // between two log lines about another cluster key
	warningEvery = 10 * time.Second // between two warnings of the library
)

// libraryLog is where memberlist writes its log. The library is chatty, so what an operator must know is told by this
// package itself and the rest goes to debug; a warning that says something new comes through, seldom.
type libraryLog struct {
	log    *slog.Logger
	ending atomic.Bool // while shutting down, its complaints are no news

	foreign seldom
	warning seldom
}

func newLibraryLog(log *slog.Logger) *libraryLog {
	return &libraryLog{log: log, foreign: seldom{every: foreignEvery}, warning: seldom{every: warningEvery}}
}

// told is how those warnings of the library begin that this package tells in its own words, or that are ordinary while
// a node is away or changes hands.
var told = []string{
	"Conflicting address",          // see namesakes
	"Refuting",                     // a restart under the same name, or a late answer: no harm is done
	"Got ping for unexpected node", // an address was taken over by another node
	"Failed fallback TCP ping",     // the member is about to be given up, which is told
	"Failed to send",               // the same
	"Push/Pull with",               // the same
	"failed to receive",            // a stream that broke, or of somebody who speaks something else
	"Decrypt packet failed",        // the same for datagrams; another key is told before
}

// Write takes one line of the form "[LEVEL] memberlist: text".
func (l *libraryLog) Write(line []byte) (int, error) {
	level, text := parseLine(line)
	now := time.Now()
	switch {
	case l.ending.Load():
		level = slog.LevelDebug
	case strings.Contains(text, "no installed keys could decrypt"):
		if untold, ok := l.foreign.allow(now); ok {
			l.log.Warn("gossip refused: a node has another cluster key; give all nodes the same one",
				"detail", text, "untold", untold)
		}
		return len(line), nil
	case level == slog.LevelWarn && !isTold(text):
		if untold, ok := l.warning.allow(now); ok {
			l.log.Warn("gossip: "+text, "untold", untold)
			return len(line), nil
		}
	}
	l.log.Debug("gossip: " + text)
	return len(line), nil
}

// parseLine takes the library's line apart. Its info is our debug; its errors, which end nothing, are our warnings.
func parseLine(line []byte) (slog.Level, string) {
	text := string(bytes.TrimSpace(line))
	level := slog.LevelDebug
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if name, after, ok := strings.Cut(rest, "] "); ok {
			text = after
			if name == "WARN" || name == "ERR" || name == "ERROR" {
				level = slog.LevelWarn
			}
		}
	}
	return level, strings.TrimPrefix(text, "memberlist: ")
}

func isTold(text string) bool {
	for _, s := range told {
		if strings.HasPrefix(text, s) {
			return true
		}
	}
	return false
}
