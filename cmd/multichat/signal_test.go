package main_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// A daemon that is told to end ends in order, however early that is, and whatever comes with the signal.
func TestSignalsEndADemoInOrder(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			temp := t.TempDir()
			t.Log("temporary files in", temp)
			p := startProcessIn(t, "demo", []string{"TMPDIR=" + temp}, "demo", "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0")
			proctest.Eventually(t, 10*time.Second, func() error { // until it handles signals: it has made its folder
				entries, err := os.ReadDir(temp)
				if err == nil && len(entries) == 0 {
					err = os.ErrNotExist
				}
				return err
			})
			time.Sleep(after) // not to synchronise: how long it has run is what differs
			p.cmd.Process.Signal(syscall.SIGINT)
			p.terminate(t) // the second signal, at once
			if entries, err := os.ReadDir(temp); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}
