package screen

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "hello, Zoë: 茶 🍵", "hello, Zoë: 茶 🍵"},
		{"what joins letters stays", "👨\u200d👩\u200d👧 می\u200cخواهم", "👨\u200d👩\u200d👧 می\u200cخواهم"},
		{"what combines stays", "cafe\u0301 ❤\ufe0f", "cafe\u0301 ❤\ufe0f"},
		{"newlines and tabs stay", "a\n\tb", "a\n\tb"},
		{"escape sequences", "\x1b[31mred\x1b]0;t\x07", "\ufffd[31mred\ufffd]0;t\ufffd"},
		{"control characters", "\x00\r\b\x7f", "\ufffd\ufffd\ufffd\ufffd"},
		{"control characters of 8 bits, in UTF-8", "\u009b31m\u0085", "\ufffd31m\ufffd"},
		{"bytes that are no UTF-8", "a\x9b\xffb\xc3", "a\ufffd\ufffdb\ufffd"},
		{"what reverses text", "\u202eabc\u202c\u2066\u2069\u200e\u061c", "\ufffdabc\ufffd\ufffd\ufffd\ufffd\ufffd"},
		{"separators of lines", "a\u2028b\u2029c", "a\ufffdb\ufffdc"},
		{"what is invisible", "a\u200b\ufeff\u00ad\U000e0041b", "a\ufffd\ufffd\ufffd\ufffdb"},
	} {
		if got := Text([]byte(tc.in)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if got := Name("al\nice\t\x1b"); got != "al\ufffdice\ufffd\ufffd" {
		t.Errorf("the name is %q", got)
	}
}

// Whatever somebody writes, and however wide the terminal is: no row is too wide, none has anything in it that drives a
// terminal, none but the first begins where messages begin, and nothing but spaces is lost.
func FuzzWrap(f *testing.F) {
	for _, text := range []string{
		"", "hello", "a\n\nb\n", "\x1b[2J\r\x9b", strings.Repeat("x", 300), "many words of a text that is longer than a row is",
		strings.Repeat("漢字 ", 40), "👨‍👩‍👧👍🏽 cafe\u0301 " + strings.Repeat("\u0301", 50), "\u202e\tabc ", " \u0301 \u200d ",
	} {
		for _, width := range []uint8{0, 1, 10, 40, 200} {
			f.Add(text, width)
		}
	}
	f.Fuzz(func(t *testing.T, text string, width uint8) {
		m := &model{width: int(width)}
		const indent = 6
		rows := m.wrap(plain("09:41 "+Text([]byte(text))), indent)
		for i, row := range rows {
			alone := len(cells(plain(strings.TrimLeft(row, " ")))) == 1 // then it may be wider than any row
			if n := widthOf(row); n > m.room() && !alone {
				t.Errorf("row %d is %d wide, of %d: %q", i, n, m.room(), row)
			}
			if strings.ContainsFunc(row, func(r rune) bool { return unicode.IsControl(r) || !utf8.ValidRune(r) }) {
				t.Errorf("row %d is %q", i, row)
			}
			if i > 0 && !strings.HasPrefix(row, " ") {
				t.Errorf("row %d is not indented: %q", i, row)
			}
		}
		if got, want := letters(strings.Join(rows, " ")), letters("09:41 "+Text([]byte(text))); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}

func widthOf(row string) (n int) {
	for _, c := range cells(plain(row)) {
		n += c.width
	}
	return n
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s)
}
