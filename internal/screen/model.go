package screen

import (
	"fmt"
	"strings"
	"time"

	"charm.land/bubbles/v2/textarea"
	tea "charm.land/bubbletea/v2"

	"multichat/internal/chat"
)

const (
	maxEditor  = 12 // rows of the line that is being typed, and half the terminal's at most; what is longer scrolls
	maxWaiting = 4  // messages of those that are not stored yet; what is more is counted
	maxHistory = 50 // lines that come back by the arrow keys

	// firstFrame is how long nothing is printed at first: bubbletea does not know before its first frame where it is.
	firstFrame = 50 * time.Millisecond
)

// draft is a message of the user's that is not stored yet.
type draft struct {
	to    chat.Mailbox
	text  string
	again string // why it had to be sent again; "": it had not
}

// model is what the screen shows. Only bubbletea's goroutine touches it.
type model struct {
	cfg    Config
	editor textarea.Model
	lines  chan<- string

	width, height int
	started       bool
	day           string // of what was printed last
	unprinted     []entry
	rows          []string        // of the entry that is being printed
	printed       []chan struct{} // to be closed when all of that is

	drafts  []*draft // the oldest first
	settled int      // how many there were before
	notice  string   // stands above the editor until the next key
	history history

	leaving     bool // no lines are taken any more
	interrupted bool
	over        bool // nothing but what was printed is left
}

func newModel(cfg Config, lines chan<- string) *model {
	m := &model{cfg: cfg, lines: lines, editor: textarea.New(), day: dayOf(time.Now())}
	m.editor.SetPromptFunc(len("> "), func(at textarea.PromptInfo) string {
		if at.LineNumber == 0 {
			return "> "
		}
		return "  "
	})
	m.editor.ShowLineNumbers = false
	m.editor.DynamicHeight = true
	m.editor.SetStyles(textarea.Styles{})
	m.editor.SetVirtualCursor(false)
	m.editor.KeyMap.InsertNewline.Unbind()
	m.editor.KeyMap.Paste.Unbind() // terminals paste by themselves
	m.editor.Focus()
	return m
}

// entry makes the rows of something that is printed once and for all: at least one.
type entry func() []string

// order is what another goroutine wants done.
type order func(*model)

// printing makes the filter print what waits.
func printing() tea.Msg { return order(func(*model) {}) }

type (
	printable struct{} // the first frame was shown
	nothing   struct{}
)

// filter sees what comes before bubbletea does. It follows orders, and makes of what they print the message that
// bubbletea prints at once: a tea.Println from Update would go its way on a goroutine of its own, and out of turn.
func (m *model) filter(_ tea.Model, msg tea.Msg) tea.Msg {
	switch msg := msg.(type) {
	case order:
		msg(m)
		if rows := m.nextRows(); rows != "" {
			return tea.Println(rows)()
		}
		return nothing{}
	case tea.QuitMsg:
		m.over = true
	}
	return msg
}

// nextRows takes rows to be printed, at most as many as there is room for above the editor: bubbletea would push the editor
// off the screen with more. They are cut at the right edge, should the terminal know wider characters than we do.
func (m *model) nextRows() string {
	if !m.started || m.allPrinted() {
		return ""
	}
	if len(m.rows) == 0 {
		m.rows = m.unprinted[0]() // now, since the terminal's width may have changed
		m.unprinted = m.unprinted[1:]
	}
	n := min(len(m.rows), max(1, m.height/4))
	rows := strings.Join(m.rows[:n], "\n")
	m.rows = m.rows[n:]
	return "\x1b[?7l" + rows + "\x1b[?7h"
}

func (m *model) print(e entry) { m.unprinted = append(m.unprinted, e) }

func (m *model) allPrinted() bool { return len(m.unprinted) == 0 && len(m.rows) == 0 }

func (m *model) Init() tea.Cmd { return nil }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.handle(msg)
	if m.allPrinted() {
		for _, p := range m.printed {
			close(p)
		}
		m.printed = nil
	} else if m.started {
		cmd = tea.Batch(cmd, printing)
	}
	return m, cmd
}

func (m *model) handle(msg tea.Msg) (cmd tea.Cmd) {
	switch msg := msg.(type) {
	case nothing:
	case printable:
		m.started = true
	case tea.WindowSizeMsg:
		return m.resize(msg.Width, msg.Height)
	case tea.KeyPressMsg:
		m.notice = ""
		return m.press(msg)
	default:
		m.editor, cmd = m.editor.Update(msg)
	}
	return cmd
}

func (m *model) resize(width, height int) (cmd tea.Cmd) {
	if m.width == 0 {
		cmd = tea.Tick(firstFrame, func(time.Time) tea.Msg { return printable{} })
	}
	m.width, m.height = width, height
	m.editor.MaxHeight = max(1, min(maxEditor, height/2))
	m.editor.SetWidth(width)
	return cmd
}

func (m *model) press(key tea.KeyPressMsg) (cmd tea.Cmd) {
	switch key.String() {
	case "ctrl+c":
		m.interrupted = true
		return tea.Quit
	case "ctrl+d":
		if m.editor.Length() == 0 {
			m.endOfInput()
			return nil
		}
	case "enter", "ctrl+j":
		m.enter()
		return nil
	case "up":
		if m.editor.Line() == 0 && m.editor.LineInfo().RowOffset == 0 {
			m.edit(m.history.older(m.editor.Value()))
			return nil
		}
	case "down":
		if info := m.editor.LineInfo(); m.editor.Line() == m.editor.LineCount()-1 && info.RowOffset == info.Height-1 {
			m.edit(m.history.newer(m.editor.Value()))
			return nil
		}
	}
	m.editor, cmd = m.editor.Update(key)
	return cmd
}

func (m *model) edit(line string) {
	m.editor.SetValue(line)
	m.editor, _ = m.editor.Update(nothing{}) // it measures itself then
}

// enter hands over the line that was typed.
func (m *model) enter() {
	line := m.editor.Value()
	if line == "" {
		return
	}
	if m.leaving {
		m.notice = "not sent: the chat is about to end"
		return
	}
	select {
	case m.lines <- line:
		m.history.add(line)
		m.edit("")
	default:
		m.notice = fmt.Sprintf("not sent: %d messages wait to be stored; press Enter again when there are fewer", len(m.drafts))
	}
}

func (m *model) endOfInput() {
	if !m.leaving {
		m.leaving = true
		close(m.lines)
	}
}

// settle prints what became of the oldest draft.
func (m *model) settle(failure, again string) {
	if len(m.drafts) == 0 {
		return
	}
	d := m.drafts[0]
	d.again = again
	m.drafts = m.drafts[1:]
	m.settled++
	if failure != "" {
		m.print(m.note(failure))
		return
	}
	m.print(m.sent(d, time.Now()))
}

func (m *model) View() tea.View {
	if m.over || m.width == 0 {
		return tea.NewView("")
	}
	above := m.waiting()
	v := tea.NewView(strings.Join(append(above, m.editor.View()), "\n"))
	if v.Cursor = m.editor.Cursor(); v.Cursor != nil {
		v.Cursor.Y += len(above)
	}
	return v
}

// waiting are the rows between what was printed and the editor: a quarter of the terminal's at most.
func (m *model) waiting() (rows []string) {
	for i, d := range m.drafts {
		if i == maxWaiting-1 && len(m.drafts) > maxWaiting {
			rows = append(rows, m.cut(plain(fmt.Sprintf("  …   and %d more", len(m.drafts)-i))))
			break
		}
		rows = append(rows, m.cut(m.draft(d)))
	}
	if len(m.drafts) > 0 && m.drafts[0].again != "" {
		rows = append(rows, m.cut(plain("      "+Name(m.drafts[0].again))))
	}
	notice := m.notice
	if m.leaving && notice == "" {
		notice = "ending once all is stored; Ctrl-C ends now"
	}
	if notice != "" {
		rows = append(rows, m.wrap(plain(notice), len("  "))...)
	}
	return rows[max(0, len(rows)-m.height/4):]
}
