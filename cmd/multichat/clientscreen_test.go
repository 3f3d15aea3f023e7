package main_test

// These tests chat at a pseudo-terminal, as people do.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// afterPrinting is what ends each piece that is printed above the line.
const afterPrinting = "\x1b[?7h\x1b[K\r\n"

// 200 messages arrive while a line is typed that is longer than the terminal is wide. After each one the terminal shows
// the line as far as it was typed, and in the end each message once and in order.
func TestMessagesDoNotTearTheLine(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	bob := startStream(t, "bob", "b", "127.0.4.1", gates[0].tcp)
	alice := startStream(t, "alice", "a", "127.0.4.2", gates[0].tcp)
	carol := startOnTerminal(t, nil, "client", "--user", "carol", "--proxy", proxyFlag(t, gates[1]))
	carol.waitFor(t, "you are carol")

	const n = 200
	line := "the quick brown 狐狸 jumps over the lazy 犬, cafe\u0301 👍🏽 and 👨‍👩‍👧, " + strings.Repeat("x", 50) + " & once more"
	typed := []rune(line)
	for i := range n {
		for len(typed)*n > (n-i-1)*len([]rune(line)) {
			carol.typeIn(string(typed[0]))
			typed = typed[1:]
		}
		alice.mustSend(t, fmt.Sprint(i), "carol", fmt.Sprintf("m%03d ", i)+variety[i%len(variety)])
	}
	carol.waitFor(t, "m199")
	carol.waitUntil(t, func() error {
		if got := editorOf(carol.shown()); got != squeezed(line) {
			return fmt.Errorf("the line is shown as %q", got)
		}
		return nil
	})
	wantWholeLines(t, carol.written(), line)
	wantOnceInOrder(t, carol.shown(), n)

	carol.enter("")
	bob.waitTexts(t, line)
	carol.waitFor(t, "you: "+line)
	wantOnceInOrder(t, carol.shown(), n)
	carol.typeIn("\x04")
	carol.wantEnd(t, 0)
}

// variety is what messages have in them: what is wide, what combines, what is longer than a row, and what has rows.
var variety = []string{
	"", strings.Repeat("漢字", 12), "👍🏽 cafe\u0301 👨‍👩‍👧 and some more words than fit", strings.Repeat("y", 95), "two\nrows",
	strings.Repeat("z", columns-len("09:41 Alice → you: m005 ")+len("→")-1), strings.Repeat("many\n", 30), "\ttab",
}

// editorOf is what is being typed, without spaces: it is at the bottom.
func editorOf(rows []string) string {
	for i := len(rows) - 1; i >= 0; i-- {
		if text, found := strings.CutPrefix(rows[i], ">"); found {
			return squeezed(append([]string{text}, rows[i+1:]...)...)
		}
	}
	return ""
}

// wantWholeLines shows again what a terminal was sent, and looks at the line each time something was printed above it.
func wantWholeLines(t *testing.T, raw, line string) {
	t.Helper()
	e := newEmulator(t, io.Discard)
	pieces, longest := strings.SplitAfter(raw, afterPrinting), 0
	for i, piece := range pieces[:len(pieces)-1] {
		e.WriteString(piece)
		got := editorOf(shownOn(e))
		if len(got) < longest || !strings.HasPrefix(squeezed(line), got) {
			t.Fatalf("after printing %d times, the line was shown as %q:\n%s", i+1, got, e.String())
		}
		longest = len(got)
	}
	if len(pieces) < 200 || longest < len(line)/2 {
		t.Errorf("%d times something was printed, the last time when %d bytes were typed: too few to tell", len(pieces)-1, longest)
	}
}

var numbered = regexp.MustCompile(`m\d\d\d`)

func wantOnceInOrder(t *testing.T, rows []string, n int) {
	t.Helper()
	got := numbered.FindAllString(strings.Join(rows, "\n"), -1)
	for i := range max(n, len(got)) {
		if i >= len(got) || got[i] != fmt.Sprintf("m%03d", i) {
			t.Fatalf("%d messages are shown, and number %d is not in its place: %q", len(got), i, got)
		}
	}
}

func TestAPersonChats(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	for _, version := range []string{"--v1=false", "--v1"} {
		t.Run(version, func(t *testing.T) {
			bob := startStream(t, "bob", "b"+version, "127.0.4.3", gates[0].tcp)
			alice := startStream(t, "alice", "a"+version, "127.0.4.4", gates[0].tcp)
			carol := startOnTerminal(t, nil, "client", "--user", "carol", "--proxy", proxyFlag(t, gates[1]), "--device", "c"+version, version)
			carol.waitFor(t, "you are carol")

			carol.enter("/nonsense is never sent" + version)
			carol.waitFor(t, `"/nonsense" is no command`)
			carol.enter("/to bob")
			carol.waitFor(t, "it is /to USERID TEXT")
			carol.enter("/to nobody hello")
			carol.waitFor(t, `not sent to nobody: "hello": `)
			carol.enter("/to bob only for you" + version)
			carol.waitFor(t, "you → bob: only for you"+version)
			carol.enter("/all /everyone" + version)
			bob.wait(t, 20*time.Second, func() error {
				for _, m := range bob.got {
					if strings.Contains(m.text, "nonsense") {
						t.Fatalf("bob got %q", m.text)
					}
				}
				if n := len(bob.got); n == 0 || bob.got[n-1].text != "/everyone"+version {
					return fmt.Errorf("bob has got %+v", bob.got)
				}
				return nil
			})
			alice.mustSend(t, "1"+version, "%", "to all"+version)
			carol.waitFor(t, "Alice: to all"+version)
			alice.mustSend(t, "2"+version, "carol", "to one"+version)
			if version == "--v1" { // which does not tell who a message is for
				carol.waitFor(t, "Alice: to one"+version)
			} else {
				carol.waitFor(t, "Alice → you: to one"+version)
			}
			carol.typeIn("\x1b[A\x1b[A") // arrows up: the line before the last
			carol.waitUntil(t, func() error {
				if got := editorOf(carol.shown()); got != squeezed("/to bob only for you"+version) {
					return fmt.Errorf("the line is %q", got)
				}
				return nil
			})
			carol.typeIn("\x15/quit\r")
			carol.wantEnd(t, 0)
		})
	}
}

// A text of several lines that is pasted is one message, and waits for Enter; and the line is shown whole when the terminal
// gets another size, below messages that have their new width.
func TestPastedTextAndAnotherSize(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	bob := startStream(t, "bob", "b", "127.0.4.8", gates[0].tcp)
	alice := startOnTerminal(t, nil, "client", "--user", "alice", "--proxy", proxyFlag(t, gates[1]))
	alice.waitFor(t, "you are alice")
	const pasted = "one\n  two, which is longer than a row is\n\n/quit"
	alice.typeIn("/to bob \x1b[200~" + strings.ReplaceAll(pasted, "\n", "\r") + "\x1b[201~")
	wantLine := func(line string) {
		t.Helper()
		alice.waitUntil(t, func() error {
			if got := editorOf(alice.shown()); got != squeezed(line) {
				return fmt.Errorf("the line is %q, want %q", got, line)
			}
			return nil
		})
	}
	wantLine("/to bob " + pasted)
	alice.resize(t, 25, 12)
	bob.mustSend(t, "1", "alice", "m000 "+strings.Repeat("word ", 12))
	alice.waitFor(t, "m000 "+strings.Repeat("word ", 12))
	wantLine("/to bob " + pasted)
	alice.resize(t, 60, 20)
	bob.mustSend(t, "2", "alice", "m001 "+strings.Repeat("word ", 12))
	alice.waitFor(t, "m001 "+strings.Repeat("word ", 12))
	wantLine("/to bob " + pasted)
	wantOnceInOrder(t, alice.shown(), 2)
	if bob.mustSend(t, "3", "bob", "nothing came before"); len(bob.received()) > 1 {
		t.Errorf("bob got %+v before Enter", bob.received())
	}
	alice.typeIn("\r")
	bob.waitMailboxes(t, map[string][]string{"bob": {"nothing came before", pasted}})
	alice.typeIn("\x04")
	alice.wantEnd(t, 0)
}

// hostile is a text that drives terminals, if they let it, and hides what it says.
const hostile = "begin\x1b[2J\x1b]0;title\x07\x1b[?1049h\x9b31m\r\x08\u202eoverride\u2066\u200f\xff\u0085\u2028\nsecond row\x1b[31m end"

func TestHostileTextIsShownHarmlessly(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	alice := startStream(t, "alice", "a", "127.0.4.5", gates[0].tcp)
	bob := startOnTerminal(t, nil, "client", "--user", "bob", "--proxy", proxyFlag(t, gates[1]))
	bob.waitFor(t, "you are bob")
	alice.mustSend(t, "1", "bob", hostile)
	alice.mustSend(t, "2", "bob", "after it")
	bob.waitFor(t, "after it")
	bob.waitFor(t, "Alice → you: begin\ufffd[2J\ufffd]0;title\ufffd\ufffd[?1049h\ufffd31m\ufffd\ufffd\ufffdoverride\ufffd\ufffd\ufffd\ufffd\ufffd"+
		"second row\ufffd[31m end")
	for _, bad := range []string{"\x1b[2J", "\x1b]0", "\x07", "\x1b[?1049h", "\x9b3", "\x1b[31m", "\u202e", "\u2066", "\u200f", "\u0085", "\u2028"} {
		if strings.Contains(bob.written(), bad) {
			t.Errorf("the terminal was sent %q", bad)
		}
	}
	for _, row := range bob.shown() {
		if strings.Contains(row, "second row") && !strings.HasPrefix(row, "      ") {
			t.Errorf("the text's second row looks like a message: %q", row)
		}
	}
	bob.typeIn("\x03")
	bob.wantEnd(t, 0)
}

var (
	colour = regexp.MustCompile(`\x1b\[38;5;(\d+)mAlice\x1b\[m`)
	sgr    = regexp.MustCompile(`\x1b\[[1-9][\d;]*m`) // any but the one that turns all off
)

func TestNamesHaveColoursOnATerminalOnly(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	alice := startStream(t, "alice", "a", "127.0.4.6", gates[0].tcp)
	args := []string{"client", "--user", "bob", "--proxy", proxyFlag(t, gates[1]), "--device"}
	coloured := startOnTerminal(t, nil, append(args, "one")...)
	other := startOnTerminal(t, nil, append(args, "two")...)
	without := startOnTerminal(t, []string{"NO_COLOR=1"}, append(args, "three")...)
	piped := startChat(t, "bob", args[3:5]...)
	for _, c := range []*onTerminal{coloured, other, without} {
		c.waitFor(t, "you are bob")
	}
	alice.mustSend(t, "1", "bob", "hello")
	for _, c := range []*onTerminal{coloured, other, without} {
		c.waitFor(t, "Alice → you: hello")
	}
	piped.waitFor(t, "Alice: hello\n")
	first, second := colour.FindString(coloured.written()), colour.FindString(other.written())
	if first == "" || first != second {
		t.Errorf("the name is %q, and %q elsewhere", first, second)
	}
	if found := sgr.FindString(without.written()); found != "" {
		t.Errorf("with NO_COLOR there is %q", found)
	}
	if output := piped.output.String(); strings.Contains(output, "\x1b") {
		t.Errorf("what is no terminal gets %q", output)
	}
}

func TestEveryEndLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	for name, end := range map[string]func(*onTerminal){
		"Ctrl-C":  func(c *onTerminal) { c.typeIn("half of a line that is longer than a row\x03") },
		"Ctrl-D":  func(c *onTerminal) { c.typeIn("\x04") },
		"quit":    func(c *onTerminal) { c.enter("/quit") },
		"SIGTERM": func(c *onTerminal) { c.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			c := startOnTerminal(t, nil, "client", "--user", "bob", "--proxy", proxyFlag(t, gates[0]))
			c.waitFor(t, "you are bob")
			if reflect.DeepEqual(c.modes(t), c.before) {
				t.Error("the terminal's modes are not changed: there is nothing to restore")
			}
			end(c)
			c.wantEnd(t, 0)
		})
	}
	t.Run("a wrong password", func(t *testing.T) {
		c := startOnTerminal(t, []string{"MULTICHAT_PASSWORD=wrong"}, "client", "--user", "bob", "--proxy", proxyFlag(t, gates[0]))
		c.wantEnd(t, 3)
	})
}

// silentProxy is a proxy that lets clients log in and answers no message.
type silentProxy struct {
	listener net.Listener
	sent     chan string   // the messages' frames
	cut      chan struct{} // closed to end its connections, and itself
}

func startSilentProxy(t *testing.T) *silentProxy {
	t.Helper()
	l, err := net.Listen("tcp", loopback(freePort(t, 0)))
	if err != nil {
		t.Fatal(err)
	}
	p := &silentProxy{l, make(chan string, 4096), make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

func (p *silentProxy) serve(conn net.Conn) {
	go func() {
		<-p.cut
		p.listener.Close()
		conn.Close()
	}()
	for scanner := bufio.NewScanner(conn); scanner.Scan(); {
		verb, rest, _ := strings.Cut(scanner.Text(), ";")
		switch verb {
		case "poll":
			fmt.Fprint(conn, "ok;id=login\n")
		case "ping":
			fmt.Fprintf(conn, "pong;%s\n", rest)
		case "wrmsg":
			p.sent <- scanner.Text()
		}
	}
}

func (p *silentProxy) flag() string {
	return fmt.Sprintf("127.0.0.1:1/%d", p.listener.Addr().(*net.TCPAddr).Port)
}

func (p *silentProxy) wantSent(t *testing.T, text string) {
	t.Helper()
	select {
	case frame := <-p.sent:
		if !strings.HasSuffix(frame, ":"+text) {
			t.Fatalf("the proxy was sent %q; want %q", frame, text)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the proxy was not sent %q", text)
	}
}

// The first proxy is dead, the second answers no message and dies, and the third one stores it.
func TestWhatIsNotStoredLooksDifferent(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	bob := startStream(t, "bob", "b", "127.0.4.7", gates[0].tcp)
	silent := startSilentProxy(t)
	dead := loopback(freePort(t, 0)) + "/1"
	alice := startOnTerminal(t, []string{"NO_COLOR=1"}, "client", "--user", "alice", "--proxy", dead, "--proxy", silent.flag(),
		"--proxy", proxyFlag(t, gates[0]))
	alice.waitFor(t, dead+" cannot be used; trying the next")
	alice.enter("/to bob the first")
	alice.enter("the second")
	silent.wantSent(t, "the first")
	alice.waitFor(t, "…   you → bob: the first   …   you: the second")
	if rows := alice.shown(); slices.ContainsFunc(rows, stored.MatchString) {
		t.Errorf("something looks as if it were stored: %q", rows)
	}
	close(silent.cut)
	alice.waitFor(t, "the connection to "+silent.flag()+" is lost; trying on")
	alice.waitFor(t, "connected again, to "+proxyFlag(t, gates[0]))
	bob.waitMailboxes(t, map[string][]string{"bob": {"the first"}, "%": {"the second"}})
	alice.waitUntil(t, func() error {
		var got []string
		for _, row := range alice.shown() {
			if stored.MatchString(row) {
				got = append(got, row[len("09:41 "):])
			}
			if strings.Contains(row, "…") {
				return fmt.Errorf("there is still %q", row)
			}
		}
		if want := []string{"you → bob: the first (sent again)", "you: the second"}; !slices.Equal(got, want) {
			return fmt.Errorf("stored are %q; want %q", got, want)
		}
		return nil
	})
	alice.enter("/quit")
	alice.wantEnd(t, 0)
}

// stored is a row of a message of one's own that is stored.
var stored = regexp.MustCompile(`^\d\d:\d\d you`)

func TestCtrlCNamesWhatIsNotStored(t *testing.T) {
	t.Parallel()
	silent := startSilentProxy(t)
	alice := startOnTerminal(t, nil, "client", "--user", "alice", "--proxy", silent.flag())
	alice.waitFor(t, "you are alice")
	alice.enter("/to bob handed over")
	silent.wantSent(t, "handed over")
	alice.enter("not handed over")
	alice.waitFor(t, "…   you: not handed over")
	alice.enter("/quit")
	alice.waitFor(t, "ending once all is stored")
	alice.typeIn("\x03")
	alice.wantEnd(t, 5)
	alice.waitFor(t, `it is not known whether this was sent to bob: "handed over"`)
	alice.waitFor(t, `not sent to everyone: "not handed over"`)
}

func TestTypingAheadIsBounded(t *testing.T) {
	t.Parallel()
	silent := startSilentProxy(t)
	alice := startOnTerminal(t, nil, "client", "--user", "alice", "--proxy", silent.flag())
	alice.waitFor(t, "you are alice")
	for i := range 400 {
		alice.enter(fmt.Sprintf("number %d", i))
	}
	alice.waitFor(t, "not sent:")
	alice.waitFor(t, "messages wait to be stored; press Enter again when there are fewer")
	alice.waitFor(t, "number 398number 399") // the lines that were not taken are kept
}
