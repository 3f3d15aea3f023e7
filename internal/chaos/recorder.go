package chaos

import (
	"errors"
	"io"
	"sync"
	"time"

	"multichat/internal/checker"
)

// Journal takes what happens in a run, as of when it is told. Its method may be called by many.
type Journal interface {
	Add(checker.Record)
}

// Recorder writes the history of a run, and has it judged. Its methods may be called by many.
type Recorder struct {
	mu      sync.Mutex
	begun   time.Duration // by Clock
	checker *checker.Checker
	history *checker.Writer
}

// NewRecorder begins a run whose history is written to w, compressed.
func NewRecorder(w io.Writer) *Recorder {
	return &Recorder{begun: Clock(), checker: checker.New(), history: checker.NewWriter(w)}
}

// Add writes a record down, as of now.
func (r *Recorder) Add(record checker.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takeLocked(record, Clock())
}

// Take writes down a record whose time is by Clock, of this process or of another one on this machine. Records have to come
// in the order of their times.
func (r *Recorder) Take(record checker.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takeLocked(record, record.At)
}

func (r *Recorder) takeLocked(record checker.Record, at time.Duration) {
	record.At = max(0, at-r.begun)
	r.history.Add(record)
	r.checker.Add(record)
}

// Progress is how many messages were acknowledged and shown so far.
func (r *Recorder) Progress() (acked, delivered int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.checker.Progress()
}

// Waiting is how much is still to come: answers, and showings on devices.
func (r *Recorder) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.checker.Waiting()
}

// Close ends the run and judges it. The error is the history's.
func (r *Recorder) Close() (checker.Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.history.Close()
	if err != nil {
		err = errors.Join(errors.New("the history could not be kept"), err)
	}
	return r.checker.Report(), err
}
