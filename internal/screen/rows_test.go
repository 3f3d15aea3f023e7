package screen

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
)

var morning = time.Date(2026, 11, 28, 9, 41, 0, 0, time.Local)

func modelAt(width int, colour bool) *model {
	return &model{cfg: Config{User: "carol", Colour: colour}, width: width, day: dayOf(morning)}
}

func TestRowsOfMessages(t *testing.T) {
	alice := chat.Message{From: "alice", FromName: "Alice", To: chat.Everyone, Sent: morning, Text: []byte("good morning")}
	with := func(change func(*chat.Message)) chat.Message {
		m := alice
		change(&m)
		return m
	}
	for _, tc := range []struct {
		name string
		m    chat.Message
		want []string
	}{
		{"to everyone", alice, []string{"09:41 Alice: good morning"}},
		{"to one", with(func(m *chat.Message) { m.To = "carol" }), []string{"09:41 Alice → you: good morning"}},
		{"of version 1", with(func(m *chat.Message) { m.To = "" }), []string{"09:41 Alice: good morning"}},
		{"of somebody whose name is another's", with(func(m *chat.Message) { m.From = "mallory" }),
			[]string{"09:41 Alice (mallory): good morning"}},
		{"of a name that drives terminals", with(func(m *chat.Message) { m.FromName, m.From = "A\x1b[2J\n", "A\x1b[2J\n" }),
			[]string{"09:41 A\ufffd[2J\ufffd: good morning"}},
		{"that looks like two", with(func(m *chat.Message) { m.Text = []byte("hi\n09:42 Bob: no") }),
			[]string{"09:41 Alice: hi", "      09:42 Bob: no"}},
		{"longer than a row", with(func(m *chat.Message) { m.Text = []byte(strings.Repeat("word ", 8)) }),
			[]string{"09:41 Alice: word word word word word", "      word word word "}},
		{"of a word longer than a row", with(func(m *chat.Message) { m.Text = []byte(strings.Repeat("漢", 20)) }),
			[]string{"09:41 Alice:", "      漢漢漢漢漢漢漢漢漢漢漢漢漢漢漢漢", "      漢漢漢漢"}},
		{"of another day", with(func(m *chat.Message) { m.Sent = morning.AddDate(0, 0, -1) }),
			[]string{"-- Friday 27 November 2026 --", "09:41 Alice: good morning"}},
	} {
		if got := modelAt(40, false).message(tc.m)(); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestRowsOfOnesOwn(t *testing.T) {
	m := modelAt(40, false)
	d := &draft{to: "bob", text: "are you\nthere, or are you somewhere else?"}
	if got, want := m.cut(m.draft(d)), "  …   you → bob: are you there, or are…"; got != want {
		t.Errorf("what waits is shown as %q, want %q", got, want)
	}
	d = &draft{to: chat.Everyone, text: "hello", again: "the connection was lost"}
	if got, want := m.cut(m.draft(d)), "again you: hello"; got != want {
		t.Errorf("what is sent again is shown as %q, want %q", got, want)
	}
	if got, want := m.sent(d, morning)(), []string{"09:41 you: hello (sent again)"}; !slices.Equal(got, want) {
		t.Errorf("what is stored is shown as %q, want %q", got, want)
	}
}

func TestNamesHaveTheirColours(t *testing.T) {
	m := modelAt(80, true)
	row := m.message(chat.Message{From: "alice", FromName: "Alice", To: chat.Everyone, Sent: morning, Text: []byte("hi")})()[0]
	if want := m.colour("alice") + "Alice" + normal + ": hi"; !strings.HasSuffix(row, want) {
		t.Errorf("%q does not end with %q", row, want)
	}
	used := make(map[string]bool)
	for _, id := range []chat.UserID{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"} {
		if m.colour(id) != modelAt(40, true).colour(id) {
			t.Errorf("%s has more than one colour", id)
		}
		used[m.colour(id)] = true
	}
	if len(used) < 4 {
		t.Errorf("8 users have %d colours", len(used))
	}
}

// Each colour has a contrast of 3 at least, as WCAG 2 wants it of large text, to a white ground and to a black one.
func TestColoursAreReadable(t *testing.T) {
	for _, c := range colours {
		l := luminance(c)
		if onWhite, onBlack := 1.05/(l+0.05), (l+0.05)/0.05; onWhite < 3 || onBlack < 3 {
			t.Errorf("colour %d has a contrast of %.1f to white and %.1f to black", c, onWhite, onBlack)
		}
	}
}

// luminance is WCAG's, of one of the 6×6×6 colours that begin at 16.
func luminance(colour int) (l float64) {
	levels := [6]float64{0, 95, 135, 175, 215, 255}
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} { // blue, green, red
		v := levels[(colour-16)/[]int{1, 6, 36}[i]%6] / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}

func TestHistory(t *testing.T) {
	var h history
	if got := h.older("typed"); got != "typed" {
		t.Errorf("before all lines comes %q", got)
	}
	for _, line := range []string{"a", "b", "b", "c"} {
		h.add(line)
	}
	steps := []struct {
		move func(string) string
		want string
	}{
		{h.older, "c"}, {h.older, "b"}, {h.older, "a"}, {h.older, "a"}, {h.newer, "b"}, {h.newer, "c"}, {h.newer, "typed"}, {h.newer, "typed"},
	}
	shown := "typed"
	for i, s := range steps {
		if shown = s.move(shown); shown != s.want {
			t.Fatalf("step %d shows %q, want %q", i, shown, s.want)
		}
	}
	for range 3 * maxHistory {
		h.add("x")
		h.add("y")
	}
	if len(h.lines) != maxHistory {
		t.Errorf("%d lines are kept", len(h.lines))
	}
}
