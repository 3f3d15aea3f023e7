package wire

import "unicode/utf8"

const ellipsis = "…"

// appendCut appends text if it has at most room bytes, and else as many of its whole characters as leave room for … at
// the end.
func appendCut(dst, text []byte, room int) []byte {
	if len(text) <= room {
		return append(dst, text...)
	}
	n := max(0, room-len(ellipsis))
	dst = append(dst, text[:characterEnd(text, n)]...)
	return append(dst, ellipsis...)
}

// characterEnd is the last place at or before n, which is within text, where a cut splits no character. Bytes that are
// not UTF-8 may be cut anywhere.
func characterEnd(text []byte, n int) int {
	for i := n; i >= 0 && n-i < utf8.UTFMax; i-- {
		if !utf8.RuneStart(text[i]) {
			continue
		}
		if _, size := utf8.DecodeRune(text[i:]); i+size > n {
			return i
		}
		break
	}
	return n
}
