package faults

import (
	"bytes"
	"os"
	"testing"
)

// holds says whether the program of this test has a text in it. Its caller must not have that text as a constant.
func holds(t *testing.T, text string) bool {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(program, []byte(text))
}
