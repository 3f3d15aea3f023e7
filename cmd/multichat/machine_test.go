package main_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// machine notes when the machine itself stands still: when its disk does not take a page, or a goroutine that slept is not
// woken. A deadline of the system's is none of the machine's, and a test that misses one has to say whose fault it was.
type machine struct {
	mu     sync.Mutex
	stills []still
}

type still struct{ begun, ended time.Time }

const (
	machineTick  = 20 * time.Millisecond
	machineStill = 250 * time.Millisecond // what is shorter is a busy machine's usual way
)

func watchMachine(t *testing.T) *machine {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "machine"))
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer f.Close()
		page := make([]byte, 4096)
		for {
			begun := time.Now()
			f.WriteAt(page, 0)
			f.Sync()
			select {
			case <-stop:
				return
			case <-time.After(machineTick):
			}
			m.note(begun, time.Now())
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
	})
	return m
}

func (m *machine) note(begun, ended time.Time) {
	if ended.Sub(begun) < machineStill {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stills = append(m.stills, still{begun, ended})
}

// stood is for how long in all the machine stood still between two times.
func (m *machine) stood(from, to time.Time) (d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.stills {
		begun, ended := s.begun, s.ended
		if begun.Before(from) {
			begun = from
		}
		if ended.After(to) {
			ended = to
		}
		d += max(0, ended.Sub(begun))
	}
	return d
}
