package checker

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"
)

// Writer keeps the history of a run: its records as lines of JSON, compressed by gzip. It is for one goroutine.
type Writer struct {
	buffer *bufio.Writer
	gzip   *gzip.Writer
	json   *json.Encoder
	err    error // the first one; nothing is written after it
}

// line is a record in a history.
type line struct {
	Record
	Bytes []byte `json:"bytes,omitempty"` // the text, instead of Text, where JSON cannot tell it: it is not UTF-8
}

// NewWriter begins a history. What is written to w is whole only after Close.
func NewWriter(w io.Writer) *Writer {
	buffer := bufio.NewWriterSize(w, 64<<10) // gzip writes a few hundred bytes at a time
	compressed, err := gzip.NewWriterLevel(buffer, gzip.BestSpeed)
	if err != nil {
		panic("checker: " + err.Error()) // the level is wrong
	}
	encoder := json.NewEncoder(compressed)
	encoder.SetEscapeHTML(false)
	return &Writer{buffer: buffer, gzip: compressed, json: encoder}
}

// Add writes the next record. If that fails, Close says so.
func (w *Writer) Add(r Record) {
	if w.err != nil {
		return
	}
	l := line{Record: r}
	if !utf8.ValidString(r.Text) {
		l.Text, l.Bytes = "", []byte(r.Text)
	}
	w.err = w.json.Encode(l)
}

// Close ends the history, and says what went wrong first. It does not close the writer below.
func (w *Writer) Close() error {
	if w.err == nil {
		w.err = w.gzip.Close()
	}
	if w.err == nil {
		w.err = w.buffer.Flush()
	}
	if w.err != nil {
		return fmt.Errorf("writing a history: %w", w.err)
	}
	return nil
}

// Read yields the records of a history that a Writer wrote. An error is the last that it yields; records that were yielded
// before are good, so that a history that was cut off can be judged as far as it goes.
func Read(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		uncompressed, err := gzip.NewReader(r)
		if err != nil {
			yield(Record{}, fmt.Errorf("reading a history: %w", err))
			return
		}
		decoder := json.NewDecoder(uncompressed)
		for n := 1; ; n++ {
			var l line
			err := decoder.Decode(&l)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("reading record %d of a history: %w", n, err))
				return
			}
			if l.Bytes != nil {
				l.Text = string(l.Bytes)
			}
			if !yield(l.Record, nil) {
				return
			}
		}
	}
}
