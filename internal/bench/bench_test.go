package bench

import (
	"strings"
	"testing"
	"time"

	"multichat/client"
	"multichat/internal/chat"
)

func valid() Config {
	return Config{Proxies: []client.Address{{Host: "localhost", UDP: 1, TCP: 2}}, Users: []chat.UserID{"a", "b"},
		Duration: time.Second, Window: 1, Size: MinSize}
}

func TestWhatCannotBeRunIsRefused(t *testing.T) {
	if cfg := valid(); cfg.Validate() != nil {
		t.Fatal(cfg.Validate())
	}
	for says, spoil := range map[string]func(*Config){
		"two users":   func(c *Config) { c.Users = c.Users[:1] },
		"named twice": func(c *Config) { c.Users = []chat.UserID{"a", "b", "a"} },
		"63 bytes":    func(c *Config) { c.Size = MinSize - 1 },
		"65537 bytes": func(c *Config) { c.Size = chat.MaxText + 1 },
		"window of 0": func(c *Config) { c.Window = 0 },
		"1025":        func(c *Config) { c.Window = 1025 },
		"has room":    func(c *Config) { c.Window, c.Size = 300, 4000 },
		"101 percent": func(c *Config) { c.Broadcast = 101 },
		"time":        func(c *Config) { c.Duration = 0 },
		"rate":        func(c *Config) { c.Rate = -1 },
	} {
		cfg := valid()
		spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want something of %q", err, says)
		}
	}
}

// A text has its size, whatever it says, and says when it was due; those of another run are not taken for this one's.
func TestATextSaysWhenItWasDue(t *testing.T) {
	begun := time.Now()
	r := &run{cfg: valid(), name: newName(), begun: begun}
	other := &run{cfg: valid(), name: newName(), begun: begun}
	r.cfg.Size = 100
	for _, after := range []time.Duration{0, time.Millisecond, time.Hour} {
		text := r.text(12345, 9_999_999, begun.Add(after))
		if len(text) != 100 {
			t.Errorf("%q has %d bytes", text, len(text))
		}
		if due, ours := r.dueOf(text); !ours || !due.Equal(begun.Add(after)) {
			t.Errorf("%q was due %v after the beginning; want %v", text, due.Sub(begun), after)
		}
		if _, ours := other.dueOf(text); ours {
			t.Errorf("%q is taken for another run's", text)
		}
	}
	for _, text := range []string{"", "hello", r.name, r.name + " 1 2 x ...", r.name + " 1 2 3"} {
		if _, ours := r.dueOf([]byte(text)); ours {
			t.Errorf("%q is taken for a text of the run", text)
		}
	}
	if longest := r.text(9_999, 99_999_999, begun.Add(time.Hour)); len(longest) > r.cfg.Size {
		t.Errorf("%q does not fit", longest)
	}
	r.cfg.Size = MinSize
	if longest := r.text(9_999, 99_999_999, begun.Add(time.Hour)); len(longest) > MinSize {
		t.Errorf("%q is longer than %d bytes", longest, MinSize)
	}
}

func TestLatenciesAreCountedToThreeDigits(t *testing.T) {
	l := newLatencies()
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	l.add(-time.Second) // clocks are what they are
	l.add(time.Hour)
	got := l.latency()
	near := func(got, want float64) bool { return got > want*0.998 && got < want*1.002 }
	if !near(got.P50, 500) || !near(got.P90, 901) || !near(got.P99, 991) || !near(got.Max, 60_000) {
		t.Errorf("%+v", got)
	}
}

func TestAReportFailsOnWhatWasLost(t *testing.T) {
	report := Report{Stored: 10, Received: 9, Undelivered: 1}
	if err := report.Err(); err == nil || !strings.Contains(err.Error(), "1 messages were stored and not delivered") {
		t.Error(err)
	}
	report.Undelivered = 0
	report.Failed = 5
	report.Errors = map[chat.Code]int64{chat.CodeBusy: 5}
	if err := report.Err(); err != nil {
		t.Errorf("what was refused is no failure: %v", err)
	}
	if text := report.String(); !strings.Contains(text, "failed: busy 5") {
		t.Errorf("it does not say what was refused:\n%s", text)
	}
}
