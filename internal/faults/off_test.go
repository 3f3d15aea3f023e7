//go:build !faults

package faults

import (
	"strings"
	"testing"
	"time"
)

// With -tags faults the same look finds it.
func TestWithoutTheTagTheEnvironmentIsNotAsked(t *testing.T) {
	if holds(t, strings.ToUpper("multichat_faults")) {
		t.Error("the name of the variable is in the program")
	}
}

func TestWithoutTheTagTheClockIsTheMachines(t *testing.T) {
	if by := time.Until(Now()).Abs(); by > time.Minute {
		t.Errorf("it is wrong by %v", by)
	}
}
