package wire

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"multichat/internal/chat"
)

// Limits of the grammar.
const (
	MaxHeader = 1024 // bytes of a message before its text, and of a reply line with its newline

	maxVerb  = 16
	maxKey   = 16
	maxValue = 64
	maxAttrs = 16
)

// header is a message cut at its joints: verb;key=value;key=value:fields. All parts are views of what was parsed.
type header struct {
	verb   []byte
	attrs  []byte // key=value;key=value, checked; nil when no semicolon follows the verb
	fields []byte // all after the first colon; nil when there is none
}

// parseHeader cuts b, which is without its newline, and checks the verb's and the attributes' form. What the fields are
// depends on the verb, so they are left to [header.split].
func parseHeader(b []byte) (header, error) {
	head, fields, found := bytes.Cut(b, []byte(":"))
	if !found {
		fields = nil
	}
	h := header{fields: fields}
	verb, attrs, found := bytes.Cut(head, []byte(";"))
	if !isName(verb, maxVerb, isLetter) {
		return header{}, errVerb
	}
	h.verb = verb
	if !found {
		return h, nil
	}
	h.attrs = attrs
	return h, checkAttrs(attrs)
}

// attr is the value of an attribute, or nil: an attribute that is there has a value.
func (h header) attr(key string) []byte {
	for rest := h.attrs; len(rest) > 0; {
		var item []byte
		item, rest, _ = bytes.Cut(rest, []byte(";"))
		if k, value, _ := bytes.Cut(item, []byte("=")); string(k) == key {
			return value
		}
	}
	return nil
}

// split cuts the fields apart, the last of them being all that is left, and says whether there were enough.
func (h header) split(into ...*[]byte) bool {
	if h.fields == nil {
		return false
	}
	rest := h.fields
	for _, field := range into[:len(into)-1] {
		var found bool
		if *field, rest, found = bytes.Cut(rest, []byte(":")); !found {
			return false
		}
	}
	*into[len(into)-1] = rest
	return true
}

func checkAttrs(attrs []byte) error {
	for n, rest, more := 0, attrs, true; more; n++ {
		if n == maxAttrs {
			return chat.Errorf(chat.CodeBadReq, "there are more than %d attributes", maxAttrs)
		}
		earlier := header{attrs: attrs[:len(attrs)-len(rest)]}
		var item []byte
		item, rest, more = bytes.Cut(rest, []byte(";"))
		key, value, _ := bytes.Cut(item, []byte("="))
		switch {
		case !isName(key, maxKey, isKeyByte):
			return chat.Errorf(chat.CodeBadReq, "an attribute's key is not 1 to %d of a-z 0-9", maxKey)
		case !isValue(value):
			return chat.Errorf(chat.CodeBadReq, "the attribute %s is not key=value with 1 to %d bytes of UTF-8 "+
				"without : ; or control characters", key, maxValue)
		case earlier.attr(string(key)) != nil:
			return chat.Errorf(chat.CodeBadReq, "the attribute %s is there twice", key)
		}
	}
	return nil
}

// isValue trusts that b was cut at : and ; already.
func isValue(b []byte) bool {
	return len(b) > 0 && len(b) <= maxValue && utf8.Valid(b) && bytes.IndexFunc(b, unicode.IsControl) < 0
}

func isName(b []byte, limit int, good func(byte) bool) bool {
	if len(b) == 0 || len(b) > limit {
		return false
	}
	for _, c := range b {
		if !good(c) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }

func isKeyByte(c byte) bool { return isLetter(c) || isDigit(c) }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// errVerb is one value because bad verbs come in floods. It quotes nothing: a password may stand where a verb should.
var errVerb = chat.Errorf(chat.CodeBadReq, "this does not begin with a verb of 1 to %d letters a-z and a colon", maxVerb)
