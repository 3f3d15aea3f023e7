package main_test

import (
	"bytes"
	"os"
	"testing"
)

// Nobody can make a binary that was not built for it lose messages: see package faults.
func TestTheBinaryHasNoFaultsToSwitchOn(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range []string{"MULTICHAT_FAULTS", "dedupe-off", "okBeforeCommit"} {
		if bytes.Contains(program, []byte(trace)) {
			t.Errorf("%q is in the binary", trace)
		}
	}
}
