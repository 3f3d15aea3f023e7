package checker_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"multichat/internal/checker"
)

// odd are records whose fields JSON could change.
var odd = []checker.Record{
	{},
	{At: 1<<62 + 1, Kind: checker.OK, Client: "c1", Seq: 1<<62 + 1},
	{Kind: checker.Delivery, Text: "\x00\x01 <&>\u2028\"\\\n", Hidden: true},
	{Kind: checker.Delivery, Text: "\xff\xfe not UTF-8"},
	{Kind: checker.Delivery, Text: "\ufffd\ufffd not UTF-8"},
	{Kind: checker.Attempt, Client: "c1", User: "αλίκη", To: "%", Text: strings.Repeat("long ", 10000)},
}

func write(t *testing.T, records []checker.Record) []byte {
	t.Helper()
	var file bytes.Buffer
	w := checker.NewWriter(&file)
	for _, r := range records {
		w.Add(r)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// read returns what is read, up to the error, if there is one.
func read(file []byte) (records []checker.Record, err error) {
	for r, err := range checker.Read(bytes.NewReader(file)) {
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func TestAHistoryIsKept(t *testing.T) {
	r := soundRun(1)
	r.records = append(r.records, odd...)
	got, err := read(write(t, r.records))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.records, got); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
}

func TestAKeptHistoryIsJudgedAlike(t *testing.T) {
	r := soundRun(2)
	r.drop(checker.Delivery, r.find(t, clean, toBob).text, "")
	records, err := read(write(t, r.records))
	if err != nil {
		t.Fatal(err)
	}
	want, got := r.judge(), (&run{records: records}).judge()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
}

func TestRecordsHaveNoFieldThatIsNotKept(t *testing.T) {
	var full checker.Record
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Bool:
			f.SetBool(true)
		default:
			f.SetInt(int64(i) + 1)
		}
	}
	got, err := read(write(t, []checker.Record{full}))
	if diff := cmp.Diff([]checker.Record{full}, got); err != nil || diff != "" {
		t.Errorf("error %v, (-written +read)\n%s", err, diff)
	}
}

// A history that was cut off is read as far as it goes, and then there is an error.
func TestACutHistory(t *testing.T) {
	r := soundRun(1)
	file := write(t, r.records)
	got, err := read(file[:len(file)/2])
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got the error %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if n := len(got); n < len(r.records)/4 || !cmp.Equal(r.records[:n], got) {
		t.Errorf("read %d records of %d, and not as written", n, len(r.records))
	}
	for _, file := range [][]byte{nil, []byte("no history"), file[:len(file)-1]} {
		if _, err := read(file); err == nil {
			t.Errorf("no error of %d bytes", len(file))
		}
	}
}

func TestReadingMayEndEarly(t *testing.T) {
	n := 0
	for range checker.Read(bytes.NewReader(write(t, odd))) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("read %d", n)
	}
}

// full is a disk that takes so many bytes.
type full struct{ room int }

var errFull = errors.New("the disk is full")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

func TestWritersErrorComesWithClose(t *testing.T) {
	r := soundRun(1)
	for _, room := range []int{0, 100 << 10} {
		w := checker.NewWriter(&full{room})
		for _, record := range r.records {
			w.Add(record)
		}
		if err := w.Close(); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: got %v, want %v", room, err, errFull)
		}
	}
	w := checker.NewWriter(&full{})
	w.Add(checker.Record{})
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("with what is only buffered: got %v, want %v", err, errFull)
	}
}
