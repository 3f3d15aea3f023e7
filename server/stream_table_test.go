package server

import (
	"sync/atomic"
	"testing"

	"multichat/internal/chat"
)

func TestADeviceIsTheNewestSessions(t *testing.T) {
	table := newStreams(new(atomic.Int64), -1)
	admitted := func(session int64) *stream {
		st := &stream{user: "bob", device: "b"}
		st.session = session
		if refusal := table.admit(st); refusal != nil {
			t.Fatal(refusal)
		}
		return st
	}
	first, second, late := admitted(1), admitted(3), admitted(2)
	for _, test := range []struct {
		name string
		st   *stream
		want *stream
	}{
		{"the first", first, nil},
		{"a newer one", second, first},
		{"an older one", late, late},
	} {
		if got := table.claim(test.st); got != test.want {
			t.Errorf("%s: it ends %p, want %p", test.name, got, test.want)
		}
	}
	table.remove(first) // does not take the device from the one that has it
	if got := table.claim(admitted(4)); got != second {
		t.Errorf("the newest ends %p, want %p", got, second)
	}
}

func TestNothingIsLeftInTheTableOfStreams(t *testing.T) {
	total := new(atomic.Int64)
	table := newStreams(total, 1)
	st := &stream{user: "bob", device: "b"}
	for range 2 {
		if refusal := table.admit(st); refusal != nil {
			t.Fatal(refusal)
		}
		if refusal := table.admit(&stream{user: "bob", device: "other"}); chat.AsError(refusal).Code != chat.CodeBusy {
			t.Errorf("a second one of two is answered %v", refusal)
		}
		table.claim(st)
		table.remove(st)
		table.remove(st)
		table.claim(st) // its login was given up meanwhile
		if n := len(table.all) + len(table.users) + len(table.devices) + int(total.Load()); n != 0 {
			t.Errorf("%d entries are left", n)
		}
	}
	table.close()
	if refusal := table.admit(st); chat.AsError(refusal).Code != chat.CodeUnavail {
		t.Errorf("a closed table answers %v", refusal)
	}
}
