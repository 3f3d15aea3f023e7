//go:build faults

package faults

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// state is all that can be set.
type state struct {
	dedupeOff, okBeforeCommit, cursorBeforeAck, pushPastPosition, linksInClear bool

	clock time.Duration
}

// after is the state that a list sets.
func after(list string) (state, error) {
	defer func() {
		DedupeOff, OKBeforeCommit, CursorBeforeAck, PushPastPosition, LinksInClear, Clock = false, false, false, false, false, 0
	}()
	err := set(list)
	return state{DedupeOff, OKBeforeCommit, CursorBeforeAck, PushPastPosition, LinksInClear, Clock}, err
}

func TestWhatAListSets(t *testing.T) {
	for _, test := range []struct {
		list string
		want state
	}{
		{"", state{}},
		{"dedupe-off", state{dedupeOff: true}},
		{"ok-before-commit", state{okBeforeCommit: true}},
		{"cursor-before-ack", state{cursorBeforeAck: true}},
		{"push-past-position", state{pushPastPosition: true}},
		{"links-in-clear", state{linksInClear: true}},
		{"clock=+5m", state{clock: 5 * time.Minute}},
		{"clock=-5m", state{clock: -5 * time.Minute}},
		{"clock=-1h30m,dedupe-off,push-past-position", state{dedupeOff: true, pushPastPosition: true, clock: -90 * time.Minute}},
	} {
		if got, err := after(test.list); got != test.want || err != nil {
			t.Errorf("%q: %+v, %v; want %+v", test.list, got, err, test.want)
		}
	}
}

func TestWhatIsNoFaultIsRefused(t *testing.T) {
	for _, test := range []struct{ list, want string }{
		{"dedupe", `there is no fault "dedupe"; there are dedupe-off, `},
		{"dedupe-off, ok-before-commit", `there is no fault " ok-before-commit"; there are `},
		{"dedupe-off,", `there is no fault ""; there are `},
		{"dedupe-off=1", `there is no fault "dedupe-off=1"; there are `},
		{"clock", `there is no fault "clock"; there are `},
		{"clock=5", "clock=5 is no way to set a clock wrong: write clock=+5m"},
		{"clock=", "clock= is no way to set a clock wrong: write clock=+5m"},
	} {
		if _, err := after(test.list); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s…", test.list, err, test.want)
		}
	}
}

func TestTheClockIsWrongByWhatIsSaid(t *testing.T) {
	defer func() { Clock = 0 }()
	for _, want := range []time.Duration{0, 5 * time.Minute, -5 * time.Minute} {
		Clock = want
		if off := time.Until(Now()) - want; off.Abs() > time.Minute {
			t.Errorf("clock=%v: it is wrong by %v", want, off+want)
		}
	}
}

func TestAProcessTellsItsFaults(t *testing.T) {
	for _, test := range []struct {
		list, said string
		code       int
	}{
		{"", "", 0},
		{"dedupe-off,clock=+5m", "multichat: *** THIS IS A TEST BUILD THAT MAKES MISTAKES ON PURPOSE: dedupe-off,clock=+5m ***\n", 0},
		{"dedupe-on", "multichat: MULTICHAT_FAULTS: there is no fault \"dedupe-on\"; there are " + names + "\n", 2},
	} {
		said, code := start(t, test.list)
		if said != test.said || code != test.code {
			t.Errorf("with %q a process says %q and ends with %d; want %q, %d", test.list, said, code, test.said, test.code)
		}
	}
}

// start runs this program, without any test, as a process with these faults. It returns what that says on standard error,
// and its exit code.
func start(t *testing.T, list string) (said string, code int) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.Command(path, "-test.list=^$")
	cmd.Env = append(os.Environ(), variable+"="+list)
	cmd.Stderr = &out
	err = cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// So the look that finds nothing in other builds does look.
func TestWithTheTagTheVariableIsInTheProgram(t *testing.T) {
	if !holds(t, strings.ToUpper("multichat_faults")) {
		t.Error("the name of the variable is not in the program")
	}
}
