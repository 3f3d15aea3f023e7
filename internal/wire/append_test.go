package wire

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
)

func TestAppendFrames(t *testing.T) {
	for _, tc := range framesInTheirForm {
		t.Run(tc.name, func(t *testing.T) {
			if got := appendFrame(tc.want); string(got) != tc.in {
				t.Errorf("got %q, want %q", got, tc.in)
			}
		})
	}
}

func TestAppendLoginLeavesAnEmptyDeviceOut(t *testing.T) {
	got := AppendLogin([]byte("before "), Login{User: "alice", SendOnly: true})
	if want := "before poll;v=2;push=0:alice::0\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAppendMessageKeepsTheTextWhole(t *testing.T) {
	m := message(strings.Repeat("é", chat.MaxText/2))
	m.ID, m.To, m.Seq = "m1", "bob", 7169
	got := AppendMessage(nil, m)
	if !strings.HasSuffix(string(got), ":"+string(m.Text)+"\n") {
		t.Errorf("of %d bytes, %d were written", len(m.Text), len(got))
	}
}

func TestAppendMessageMovesATimeThatCannotBePrinted(t *testing.T) {
	for second, want := range map[int64]string{-5: ":0:", 1 << 60: ":253402300799:"} {
		m := message("hi")
		m.ID, m.To, m.Seq, m.Sent = "m1", "bob", 7169, time.Unix(second, 0)
		if got := AppendMessage(nil, m); !strings.Contains(string(got), want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	m, buf := message("hello, world"), make([]byte, 0, MaxNewmsg)
	m.ID, m.To, m.Seq = "0190a6e2c8f1-1a2b3c4d", "bob", 7169
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendMessage(buf[:0], m)
	}
}

// What goes out for each message and each answer is written into a buffer that is there.
func TestAppendAllocatesNothing(t *testing.T) {
	m := chat.Message{Seq: 7, ID: "0123456789abcdef", From: "alice", FromName: "Alice", To: "bob", Text: bytes.Repeat([]byte("x"), 100),
		Sent: time.Now()}
	send := Wrmsg{ID: m.ID, To: m.To, Text: m.Text}
	buffer := make([]byte, 0, 4096)
	for what, appended := range map[string]func() []byte{
		"AppendMessage": func() []byte { return AppendMessage(buffer, m) },
		"AppendNewmsg":  func() []byte { return AppendNewmsg(buffer, m, 4095) },
		"AppendSend":    func() []byte { return AppendSend(buffer, send) },
		"AppendOK":      func() []byte { return AppendOK(buffer, m.ID, m.Seq) },
		"AppendAck":     func() []byte { return AppendAck(buffer, Ack{Mailbox: m.To, Seq: m.Seq}) },
		"AppendPong":    func() []byte { return AppendPong(buffer, m.ID) },
	} {
		if n := testing.AllocsPerRun(100, func() { appended() }); n != 0 {
			t.Errorf("%s costs %v allocations", what, n)
		}
	}
}
