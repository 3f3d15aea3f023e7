// Package screen is a chat on a terminal: messages appear above the line that is being typed, and what was typed and is not
// stored yet stands between the two.
//
//	09:41 Alice: good morning
//	09:41 Bob → you: are you there?
//	09:42 you → bob: yes
//	  …   you → bob: and you?          not acknowledged yet
//	again you → bob: hello             the same, and it had to be sent again
//	> what is being typed
//
// The line editor and the terminal are bubbletea's. What scrolls by is printed once and for all, above the few rows that it
// repaints, so the terminal's own scrolling and copying work. What others wrote goes through [Text] and [Name], the one
// place where it is made harmless.
//
// One goroutine owns the model, the one that bubbletea runs [Screen.Serve]'s program on. Everybody else sends it what to
// do.
package screen

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	tea "charm.land/bubbletea/v2"

	"multichat/internal/chat"
)

// Config is what a screen is made of.
type Config struct {
	In, Out *os.File // a terminal
	User    chat.UserID
	Colour  bool
}

var (
	// ErrInterrupted says that a person ended the chat by Ctrl-C.
	ErrInterrupted = errors.New("interrupted")

	// ErrEnded says that the screen shows nothing any more.
	ErrEnded = errors.New("the screen has ended")
)

// What waits at most. Lines beyond stay in the editor, and a notice says so; news beyond, while the terminal takes nothing,
// is dropped.
const (
	maxLines = 64
	maxNews  = 64
)

// Screen is a chat on a terminal. Its methods may be called from any goroutine, also before Serve, and but for Hint and
// Retry they wait until Serve has done what they ask, or has returned.
type Screen struct {
	program *tea.Program
	model   *model
	lines   chan string       // what was typed; closed by Ctrl-D
	news    chan func(*model) // from Hint and Retry
	ended   chan struct{}     // closed when the terminal is as it was before
}

// New makes a screen. The terminal stays as it is until Serve.
func New(cfg Config) *Screen {
	s := &Screen{lines: make(chan string, maxLines), news: make(chan func(*model), maxNews), ended: make(chan struct{})}
	s.model = newModel(cfg, s.lines)
	s.program = tea.NewProgram(s.model, tea.WithInput(cfg.In), tea.WithOutput(cfg.Out), tea.WithoutSignalHandler(),
		tea.WithFilter(s.model.filter))
	return s
}

// Serve shows the chat until ctx ends, which returns nil, or a person presses Ctrl-C, which returns ErrInterrupted. The
// terminal is then as it was before.
func (s *Screen) Serve(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer close(s.ended)
	running.Go(func() {
		select {
		case <-ctx.Done():
			s.program.Quit()
		case <-s.ended:
		}
	})
	running.Go(s.tellNews)
	if _, err := s.program.Run(); err != nil {
		return err
	}
	if s.model.interrupted {
		return ErrInterrupted
	}
	return nil
}

func (s *Screen) tellNews() {
	for {
		select {
		case f := <-s.news:
			s.do(f)
		case <-s.ended:
			return
		}
	}
}

// do has the model's goroutine do something, and returns once the terminal has what that prints. Its error is ErrEnded.
func (s *Screen) do(f func(*model)) error {
	printed := make(chan struct{})
	s.program.Send(order(func(m *model) {
		f(m)
		m.printed = append(m.printed, printed)
	}))
	select {
	case <-printed:
		return nil
	case <-s.ended:
		return ErrEnded
	}
}

// ReadLine returns the next line that was typed. Its error is io.EOF after Ctrl-D, and else ctx's.
func (s *Screen) ReadLine(ctx context.Context) (string, error) {
	select {
	case line, more := <-s.lines:
		if !more {
			return "", io.EOF
		}
		return line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// Unread are lines that were typed and that ReadLine has not returned, once Serve has returned.
func (s *Screen) Unread() (lines []string) {
	for {
		select {
		case line, more := <-s.lines:
			if !more {
				return lines
			}
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

// Show shows a message, and returns once the terminal has it. Its error is ErrEnded: nobody has seen the message then.
func (s *Screen) Show(msg chat.Message) error {
	return s.do(func(m *model) { m.print(m.message(msg)) })
}

// Say shows lines of the program's own.
func (s *Screen) Say(text string) {
	s.do(func(m *model) { m.print(m.note(text)) })
}

// Hint is Say for whoever must not wait.
func (s *Screen) Hint(text string) {
	s.try(func(m *model) { m.print(m.note(text)) })
}

// try has the model's goroutine do something later, unless it is far behind.
func (s *Screen) try(f func(*model)) {
	select {
	case s.news <- f:
	default:
	}
}

// Wait shows a message of the user's as one that is not stored yet, below those that are so already.
func (s *Screen) Wait(to chat.Mailbox, text string) {
	s.do(func(m *model) { m.drafts = append(m.drafts, &draft{to: to, text: text}) })
}

// Retry shows that a message has to be sent again, and why, if it still is the oldest of those. It is the one that so many
// were settled before.
func (s *Screen) Retry(settled int, why string) {
	s.try(func(m *model) {
		if m.settled == settled && len(m.drafts) > 0 {
			m.drafts[0].again = why
		}
	})
}

// Settle shows that the oldest of those is stored, or, if it is not, the failure. A reason for sending it again is told
// with it, since Retry may have come too late to be seen.
func (s *Screen) Settle(failure, again string) {
	s.do(func(m *model) { m.settle(failure, again) })
}

// Leave shows that the chat is about to end, and takes no lines any more.
func (s *Screen) Leave() {
	s.do(func(m *model) { m.leaving = true })
}
