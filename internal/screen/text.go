package screen

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is what somebody wrote as it may be shown: what could drive a terminal, and what could make text look as if it stood
// elsewhere or said something else, is shown as U+FFFD. That is control characters but for newlines and tabs, bytes that
// are no UTF-8, and format characters, such as those that reverse the direction of text; those that join letters stay.
func Text(b []byte) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == zeroWidthNonJoiner, r == zeroWidthJoiner:
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == lineSeparator, r == paragraphSeparator:
			return utf8.RuneError
		}
		return r // invalid bytes come as utf8.RuneError
	}, string(b))
}

// Name is Text for what has to stay on its line, like a name.
func Name(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return utf8.RuneError
		}
		return r
	}, Text([]byte(s)))
}

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
	lineSeparator      = '\u2028'
	paragraphSeparator = '\u2029'
)
