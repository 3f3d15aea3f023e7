package screen

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"multichat/internal/chat"
)

// span is text in one style: an SGR sequence, or "" for none.
type span struct{ text, style string }

const (
	faint  = "\x1b[2m"
	normal = "\x1b[m"
)

func plain(text string) []span { return []span{{text: text}} }

// colours are those of names, of the 256 that terminals have. Each can be told from a white ground and from a black one;
// a test measures that.
var colours = []int{28, 30, 32, 64, 69, 98, 127, 130, 136, 161, 166, 168}

// colour is a user's own, the same at each start and on each machine.
func (m *model) colour(id chat.UserID) string {
	if !m.cfg.Colour {
		return ""
	}
	h := fnv.New32a()
	h.Write([]byte(id))
	return fmt.Sprintf("\x1b[38;5;%dm", colours[h.Sum32()%uint32(len(colours))])
}

func (m *model) faint() string {
	if !m.cfg.Colour {
		return ""
	}
	return faint
}

// message is an entry of a message. Who may be answered by /to is told by the userid, where the name does not.
func (m *model) message(msg chat.Message) entry {
	who := Name(msg.FromName)
	if id := Name(string(msg.From)); !strings.EqualFold(who, id) {
		who = fmt.Sprintf("%s (%s)", who, id)
	}
	after := ": "
	if msg.To != "" && msg.To != chat.Everyone {
		after = " → you: "
	}
	return m.dated(msg.Sent, []span{{who, m.colour(msg.From)}, {after + Text(msg.Text), ""}})
}

// sent is an entry of a message of the user's that was stored now.
func (m *model) sent(d *draft, now time.Time) entry {
	spans := m.own(d, m.colour(m.cfg.User), "")
	if d.again != "" {
		spans = append(spans, span{" (sent again)", m.faint()})
	}
	return m.dated(now, spans)
}

// draft is a message of the user's that is not stored yet, in one row.
func (m *model) draft(d *draft) []span {
	mark := "  …   "
	if d.again != "" {
		mark = "again "
	}
	d = &draft{to: d.to, text: strings.ReplaceAll(d.text, "\n", " ")}
	return append([]span{{mark, m.faint()}}, m.own(d, m.faint(), m.faint())...)
}

func (m *model) own(d *draft, name, text string) []span {
	after := ": "
	if d.to != chat.Everyone {
		after = fmt.Sprintf(" → %s: ", Name(string(d.to)))
	}
	return []span{{"you", name}, {after + Text([]byte(d.text)), text}}
}

// dated is an entry of something that was said at a time, after a row for the day if that is another one than before.
func (m *model) dated(at time.Time, spans []span) entry {
	spans = append([]span{{at.Local().Format("15:04 "), m.faint()}}, spans...)
	return func() (rows []string) {
		if day := dayOf(at); day != m.day {
			m.day = day
			rows = append(rows, m.cut([]span{{"-- " + day + " --", m.faint()}}))
		}
		return append(rows, m.wrap(spans, len("15:04 "))...)
	}
}

func dayOf(t time.Time) string { return t.Local().Format("Monday 2 January 2006") }

// note is an entry of what the program itself says, in one line or more.
func (m *model) note(text string) entry {
	return func() (rows []string) {
		for line := range strings.Lines(Text([]byte(text))) {
			rows = append(rows, m.wrap(plain(strings.TrimRight(line, "\n")), len("    "))...)
		}
		return rows
	}
}

// cell is what stands together in one place: a character with what combines with it.
type cell struct {
	text, style string
	width       int
}

func (c cell) isBreak() bool { return c.text == "\n" }
func (c cell) isSpace() bool { return c.text == " " }

// cells cuts spans into what stands in one place each. Tabs become spaces.
func cells(spans []span) (cells []cell) {
	for _, s := range spans {
		for rest, state := strings.ReplaceAll(s.text, "\t", "    "), -1; rest != ""; {
			var text string
			var width int
			text, rest, width, state = uniseg.FirstGraphemeClusterInString(rest, state)
			// Terminals do not agree on the width of what is made of several characters: some show each by itself.
			apart := 0
			for _, r := range text {
				apart += uniseg.StringWidth(string(r))
			}
			cells = append(cells, cell{text, s.style, max(width, apart)})
		}
	}
	return cells
}

// room is how many columns of a row are used. The last one is not: a terminal that is there wraps, or forgets what it has
// in it when the rest of the row is cleared.
func (m *model) room() int { return max(2, m.width-1) }

// wrap makes rows of spans, between words where it can. Rows after the first are indented, so that nobody's text looks like
// another message.
func (m *model) wrap(spans []span, indent int) (rows []string) {
	if m.room() < 3*indent {
		indent = 1
	}
	var row []cell
	width, space := 0, -1 // of the row; its last space
	begin := func(with []cell) {
		rows = append(rows, render(row))
		row = append([]cell{{text: strings.Repeat(" ", indent), width: indent}}, with...)
		width, space = 0, -1
		for _, c := range row {
			width += c.width
		}
	}
	for _, c := range cells(spans) {
		full := width+c.width > m.room() && len(row) > 1
		if c.isBreak() || full && c.isSpace() {
			begin(nil)
			continue
		}
		if full && space > 1 {
			word := row[space+1:]
			row = row[:space]
			begin(word)
			full = width+c.width > m.room() && len(row) > 1
		}
		if full {
			begin(nil)
		}
		if c.isSpace() && len(row) > 1 {
			space = len(row)
		}
		row = append(row, c)
		width += c.width
	}
	return append(rows, render(row))
}

// cut makes one row of spans, and an ellipsis of what has no room.
func (m *model) cut(spans []span) string {
	var row []cell
	width := 0
	for _, c := range cells(spans) {
		if width+c.width >= m.room() {
			row = append(row, cell{"…", c.style, 1})
			break
		}
		row = append(row, c)
		width += c.width
	}
	return render(row)
}

func render(row []cell) string {
	if len(row) == 0 {
		return " " // bubbletea prints no row that is empty
	}
	var b strings.Builder
	style := ""
	for _, c := range row {
		if c.style != style {
			if style != "" {
				b.WriteString(normal)
			}
			b.WriteString(c.style)
			style = c.style
		}
		b.WriteString(c.text)
	}
	if style != "" {
		b.WriteString(normal)
	}
	return b.String()
}
