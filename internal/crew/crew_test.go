package crew_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/crew"
)

func TestACrewIsBoundedAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		slow := func() { time.Sleep(time.Second); ended.Add(1) }
		c := crew.New(2)
		for range 2 {
			if err := c.Run(slow); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Run(slow); err != crew.ErrFull {
			t.Errorf("a third beside two: %v, want %v", err, crew.ErrFull)
		}
		time.Sleep(2 * time.Second)
		if err := c.Run(slow); err != nil || c.Running() != 1 {
			t.Errorf("a third after two: %v, and %d run", err, c.Running())
		}
		idle := c.Close()
		select {
		case <-idle:
			t.Error("idle while one runs")
		default:
		}
		if err := c.Run(slow); err != crew.ErrClosed || !c.Closed() {
			t.Errorf("one after the end: %v, want %v", err, crew.ErrClosed)
		}
		<-idle
		if ended.Load() != 3 {
			t.Errorf("idle when %d of 3 had ended", ended.Load())
		}
		<-c.Close() // again: the same answer
	})
}

func TestTheCallersOwnGoroutineCounts(t *testing.T) {
	c := crew.New(1)
	if err := c.Do(func() {
		if err := c.Run(func() {}); err != crew.ErrFull {
			t.Errorf("one more beside the caller: %v, want %v", err, crew.ErrFull)
		}
	}); err != nil || c.Running() != 0 {
		t.Errorf("got %v, and %d run afterwards", err, c.Running())
	}
	<-c.Close()
	if err := c.Do(func() { t.Error("run after the end") }); err != crew.ErrClosed {
		t.Errorf("after the end: %v, want %v", err, crew.ErrClosed)
	}
}

func TestACrewWithoutWorkEndsAtOnce(t *testing.T) {
	<-crew.New(1).Close()
}
