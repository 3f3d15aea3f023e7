package cluster

import (
	"log"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/proctest"
)

func TestTheLibrarysLogIsSorted(t *testing.T) {
	for _, tt := range []struct{ name, line, level, text string }{
		{"debug", "[DEBUG] memberlist: Stream connection from=127.0.0.1:1", "DEBUG", "Stream connection"},
		{"info is debug", "[INFO] memberlist: Suspect a has failed, no acks received", "DEBUG", "Suspect a has failed"},
		{"a warning comes through", "[WARN] memberlist: handler queue full, dropping message", "WARN", "handler queue full"},
		{"an error is a warning", "[ERR] memberlist: Too many pending push/pull requests", "WARN", "Too many pending"},
		{"what is told elsewhere is debug", "[ERR] memberlist: Conflicting address for a. Mine: …", "DEBUG", "Conflicting"},
		{"another key", "[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=1.2.3.4:5",
			"WARN", "another cluster key"},
		{"without a level", "something else", "DEBUG", "something else"},
		{"only a bracket", "[", "DEBUG", "["},
		{"nothing", "", "DEBUG", "gossip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var book proctest.Output
			log.New(newLibraryLog(newLogger(&book, slog.LevelDebug)), "", 0).Print(tt.line)
			got := book.Lines("")
			if len(got) != 1 || !strings.Contains(got[0], "level="+tt.level) || !strings.Contains(got[0], tt.text) {
				t.Errorf("%q became %q", tt.line, got)
			}
		})
	}
}

func TestWarningsComeSeldomAndSayHowManyWentUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book proctest.Output
		library := newLibraryLog(newLogger(&book, slog.LevelWarn))
		line := []byte("[ERR] memberlist: failed to receive: no installed keys could decrypt the message from=1.2.3.4:5\n")
		for range 100 {
			library.Write(line)
		}
		if got := book.Lines("another cluster key"); len(got) != 1 {
			t.Fatalf("100 refusals in a row are told %d times", len(got))
		}
		time.Sleep(foreignEvery)
		library.Write(line)
		if got := book.Lines("untold=99"); len(got) != 1 {
			t.Errorf("the next line does not say what went untold: %q", book.Lines(""))
		}
	})
}

func TestTheEndIsQuiet(t *testing.T) {
	var book proctest.Output
	library := newLibraryLog(newLogger(&book, slog.LevelInfo))
	library.ending.Store(true)
	library.Write([]byte("[ERR] memberlist: use of closed network connection\n"))
	if got := book.Lines(""); len(got) != 0 {
		t.Errorf("at the end it says %q", got)
	}
}
