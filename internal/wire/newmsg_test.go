package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"multichat/internal/chat"
)

func message(text string) chat.Message {
	return chat.Message{From: "alice", FromName: "Alice A", Text: []byte(text), Sent: time.Unix(1700000000, 999e6)}
}

func TestAppendNewmsg(t *testing.T) {
	const head = "newmsg:1700000000:Alice A:alice:"
	const limit = 256
	room := limit - len(head)
	for _, tc := range []struct{ name, text, want string }{
		{"a text", "hello", "hello"},
		{"a text as it came", "a:b\nc\xff", "a:b\nc\xff"},
		{"no text", "", ""},
		{"just fits", strings.Repeat("x", room), strings.Repeat("x", room)},
		{"one too many", strings.Repeat("x", room+1), strings.Repeat("x", room-3) + "…"},
		{"much too long", strings.Repeat("x", 60000), strings.Repeat("x", room-3) + "…"},
		{"no character is split", strings.Repeat("x", room-4) + "éabc", strings.Repeat("x", room-4) + "…"},
		{"nor one of four bytes", strings.Repeat("x", room-6) + "😀abc", strings.Repeat("x", room-6) + "…"},
		{"one that just fits stays", strings.Repeat("x", room-7) + "😀abcd", strings.Repeat("x", room-7) + "😀…"},
		{"bytes are cut anywhere", strings.Repeat("\xff", room+1), strings.Repeat("\xff", room-3) + "…"},
		{"continuation bytes too", strings.Repeat("\x80", room+1), strings.Repeat("\x80", room-3) + "…"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := message(tc.text)
			got := AppendNewmsg([]byte("before"), m, limit)
			if want := "before" + head + tc.want; string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if string(m.Text) != tc.text {
				t.Error("the message's own text changed")
			}
		})
	}
}

func TestAppendNewmsgWithTheLongestNames(t *testing.T) {
	m := message(strings.Repeat("é", 4000))
	m.From = chat.UserID(strings.Repeat("é", 32))
	m.FromName = strings.Repeat("é", 32)
	m.Sent = time.Unix(1<<62, 0)
	got := AppendNewmsg(nil, m, MaxNewmsg)
	if len(got) > MaxNewmsg || len(got) < MaxNewmsg-1 {
		t.Errorf("%d bytes", len(got))
	}
	if _, err := DecodeNewmsg(got); err != nil {
		t.Error(err)
	}
}

func TestDecodeNewmsg(t *testing.T) {
	got, err := DecodeNewmsg([]byte("newmsg:1700000000:Alice A:alice:a:b\n:"))
	want := chat.Message{From: "alice", FromName: "Alice A", Text: []byte("a:b\n:"), Sent: time.Unix(1700000000, 0)}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for name, in := range map[string]string{
		"nothing":               "",
		"another verb":          "wrmsg:1:a:b:c",
		"version 2":             "newmsg;id=m;len=1:1:a:b:c",
		"no text":               "newmsg:1:a:b",
		"no timestamp":          "newmsg::a:b:c",
		"a time before time":    "newmsg:-1:a:b:c",
		"a time that is none":   "newmsg:now:a:b:c",
		"a time past all years": "newmsg:253402300800:a:b:c",
		"no name":               "newmsg:1::b:c",
		"a name with an escape": "newmsg:1:a\x1b[2J:b:c",
		"a forbidden userid":    "newmsg:1:a:%:c",
		"NUL in the text":       "newmsg:1:a:b:\x00",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeNewmsg([]byte(in))
			wantCode(t, err, chat.CodeBadReq)
		})
	}
}

func FuzzDecodeNewmsg(f *testing.F) {
	for _, seed := range []string{
		"newmsg:1700000000:Alice:alice:hi", "newmsg:0:a:b:", "newmsg:1:a:b:c:d\n", "newmsg;a=b:1:a:b:c", "newmsg:+1:a:b:c",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := DecodeNewmsg(in)
		if err != nil {
			return
		}
		out := AppendNewmsg(nil, m, len(in)+256)
		again, err := DecodeNewmsg(out)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%q was encoded as %q: %+v, %v", in, out, again, err)
		}
	})
}

func FuzzAppendCut(f *testing.F) {
	f.Add([]byte("hello, world"), 5)
	f.Add([]byte("ééééé"), 6)
	f.Add([]byte("😀😀😀"), 7)
	f.Add([]byte("\x80\x80\x80\x80\x80"), 3)
	f.Add([]byte("a\xf0\x9f\x98\x80\xff"), 5)
	f.Fuzz(func(t *testing.T, text []byte, room int) {
		if room < len(ellipsis) {
			return
		}
		got := appendCut(nil, text, room)
		if len(got) > room {
			t.Fatalf("%d bytes in a room of %d", len(got), room)
		}
		if utf8.Valid(text) && !utf8.Valid(got) {
			t.Fatalf("%q was split at %q", text, got)
		}
		kept, cut := bytes.CutSuffix(got, []byte(ellipsis))
		if cut = cut && len(text) > room; !cut {
			kept = got
		}
		if cut != (len(text) > room) || !bytes.HasPrefix(text, kept) || cut && room-len(got) >= utf8.UTFMax {
			t.Fatalf("%q in a room of %d became %q", text, room, got)
		}
	})
}

func BenchmarkAppendNewmsg(b *testing.B) {
	for name, text := range map[string]string{"short": "hello, world", "cut": strings.Repeat("é", 3000)} {
		b.Run(name, func(b *testing.B) {
			m, buf := message(text), make([]byte, 0, MaxNewmsg)
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendNewmsg(buf[:0], m, MaxNewmsg)
			}
		})
	}
}
