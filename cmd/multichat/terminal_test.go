package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"

	"multichat/internal/proctest"
)

// onTerminal is a multichat that runs at a pseudo-terminal.
type onTerminal struct {
	*process
	keyboard *os.File // what is written here is typed
	tty      *os.File
	before   *term.State // the terminal's modes before the process began

	mu     sync.Mutex
	screen *vt.Emulator
	raw    strings.Builder // what the process wrote
}

const columns, lines = 40, 14

// startOnTerminal starts multichat at a small terminal, as one that understands 256 colours.
func startOnTerminal(t *testing.T, env []string, args ...string) *onTerminal {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Skip("there is no pseudo-terminal: ", err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: lines, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	c := &onTerminal{keyboard: keyboard, tty: tty, screen: newEmulator(t, keyboard)}
	c.before = c.modes(t)
	c.process = &process{name: "multichat " + args[0], cmd: exec.Command(binary, args...), output: &proctest.Output{}, exited: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), append([]string{"MULTICHAT_PASSWORD=demo", "TERM=xterm-256color", "NO_COLOR="}, env...)...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = tty, tty, tty
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read()
	}()
	go func() {
		c.cmd.Wait()
		close(c.exited)
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.exited
		tty.Close()
		keyboard.Close()
		<-read
		if t.Failed() {
			t.Logf("the terminal shows:\n%s\nand was sent:\n%q", strings.Join(c.shown(), "\n"), c.written())
		}
		if strings.Contains(c.written(), "DATA RACE") {
			t.Error("it has a data race")
		}
	})
	return c
}

// newEmulator makes a terminal. What it answers when it is asked something goes to answers.
func newEmulator(t *testing.T, answers io.Writer) *vt.Emulator {
	e := vt.NewEmulator(columns, lines)
	e.SetScrollbackSize(10000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(answers, e)
	}()
	t.Cleanup(func() {
		e.InputPipe().(io.Closer).Close() // its Close is no friend of its Read
		<-done
	})
	return e
}

func (c *onTerminal) read() {
	buffer, held := make([]byte, 4096), []byte(nil)
	for {
		n, err := c.keyboard.Read(buffer)
		if err != nil {
			return
		}
		held = append(held, buffer[:n]...)
		// The emulator takes the end of a write for the end of a character, so what may combine with more is held back.
		whole := bytes.LastIndexFunc(held, unicode.IsControl)
		if whole >= 0 && held[whole] != '\x1b' {
			whole++
		}
		c.mu.Lock()
		c.raw.Write(buffer[:n])
		if whole > 0 {
			c.screen.Write(held[:whole])
			held = held[whole:]
		}
		c.mu.Unlock()
	}
}

func (c *onTerminal) written() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}

// shown is all that the terminal shows, what has scrolled away included.
func (c *onTerminal) shown() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return shownOn(c.screen)
}

func shownOn(e *vt.Emulator) (rows []string) {
	for _, line := range e.Scrollback().Lines() {
		rows = append(rows, strings.TrimRight(line.String(), " "))
	}
	for row := range strings.Lines(e.String()) {
		rows = append(rows, strings.TrimRight(row, " \n"))
	}
	return rows
}

// squeezed is rows without any space, so that it does not matter where they were broken.
func squeezed(rows ...string) string { return strings.Join(strings.Fields(strings.Join(rows, "")), "") }

// resize gives the terminal another size, and tells the process, as terminals do.
func (c *onTerminal) resize(t *testing.T, columns, lines int) {
	t.Helper()
	c.mu.Lock()
	c.screen.Resize(columns, lines)
	c.mu.Unlock()
	if err := pty.Setsize(c.tty, &pty.Winsize{Rows: uint16(lines), Cols: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
}

func (c *onTerminal) typeIn(text string) { io.WriteString(c.keyboard, text) }

func (c *onTerminal) enter(line string) { c.typeIn(line + "\r") }

// waitFor returns once the terminal shows a text, wherever its rows end.
func (c *onTerminal) waitFor(t *testing.T, text string) {
	t.Helper()
	c.waitUntil(t, func() error {
		if !strings.Contains(squeezed(c.shown()...), squeezed(text)) {
			return fmt.Errorf("the terminal does not show %q", text)
		}
		return nil
	})
}

func (c *onTerminal) waitUntil(t *testing.T, condition func() error) {
	t.Helper()
	proctest.Eventually(t, 20*time.Second, condition)
}

// wantEnd wants the process to end by itself, with a code, and to leave the terminal as it found it.
func (c *onTerminal) wantEnd(t *testing.T, code int) {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(20 * time.Second):
		t.Fatal("it has not ended after 20 s")
	}
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("it ended with %d; want %d", got, code)
	}
	after := c.modes(t)
	if !reflect.DeepEqual(after, c.before) {
		t.Errorf("the terminal's modes were %+v, and are %+v", c.before, after)
	}
	c.waitUntil(t, func() error { // until all that it wrote was read
		c.mu.Lock()
		column := c.screen.CursorPosition().X
		c.mu.Unlock()
		if rows := c.shown(); column != 0 || slices.ContainsFunc(rows, func(row string) bool { return strings.HasPrefix(row, ">") }) {
			return fmt.Errorf("a shell's prompt would be in column %d, below %q", column, rows)
		}
		for _, mode := range []struct{ on, off string }{{"\x1b[?2004h", "\x1b[?2004l"}, {"\x1b[?25l", "\x1b[?25h"}, {"\x1b[?7l", "\x1b[?7h"}} {
			if raw := c.written(); strings.LastIndex(raw, mode.on) > strings.LastIndex(raw, mode.off) {
				return fmt.Errorf("%q is not undone", mode.on)
			}
		}
		return nil
	})
}

func (c *onTerminal) modes(t *testing.T) *term.State {
	t.Helper()
	modes, err := term.GetState(int(c.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return modes
}
