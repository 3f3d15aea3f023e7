//go:build faults

package faults

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// The mistakes of this process. They are set before main begins; only tests change them, while nothing runs.
var (
	DedupeOff        bool
	OKBeforeCommit   bool
	CursorBeforeAck  bool
	PushPastPosition bool
	LinksInClear     bool

	Clock time.Duration // by which Now is ahead
)

// Now is the time of day by a clock that may be wrong: for what is written down, or compared with what another machine has
// written. Intervals and deadlines are measured by [time.Now], since no clock that is set wrong changes those.
func Now() time.Time { return time.Now().Add(Clock) }

const (
	variable = "MULTICHAT_FAULTS"
	names    = "dedupe-off, ok-before-commit, cursor-before-ack, push-past-position, links-in-clear and clock=±DURATION"
)

func init() {
	list := os.Getenv(variable)
	if err := set(list); err != nil {
		fmt.Fprintf(os.Stderr, "multichat: %s: %v\n", variable, err)
		os.Exit(2)
	}
	if list != "" {
		fmt.Fprintf(os.Stderr, "multichat: *** THIS IS A TEST BUILD THAT MAKES MISTAKES ON PURPOSE: %s ***\n", list)
	}
}

// set makes the mistakes that a list names.
func set(list string) error {
	if list == "" {
		return nil
	}
	for name := range strings.SplitSeq(list, ",") {
		if err := setOne(name); err != nil {
			return err
		}
	}
	return nil
}

func setOne(name string) error {
	by, isClock := strings.CutPrefix(name, "clock=")
	switch {
	case isClock:
		d, err := time.ParseDuration(by)
		if err != nil {
			return fmt.Errorf("%s is no way to set a clock wrong: write clock=+5m, or clock=-90s", name)
		}
		Clock = d
	case name == "dedupe-off":
		DedupeOff = true
	case name == "ok-before-commit":
		OKBeforeCommit = true
	case name == "cursor-before-ack":
		CursorBeforeAck = true
	case name == "push-past-position":
		PushPastPosition = true
	case name == "links-in-clear":
		LinksInClear = true
	default:
		return fmt.Errorf("there is no fault %q; there are %s", name, names)
	}
	return nil
}
