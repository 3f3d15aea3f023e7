package chat

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits in bytes. They are the protocol's, so they are not settings; but for the text, see [DefaultMaxText].
const (
	MaxUserID      = 64
	MaxName        = 64
	MaxPassword    = 128
	MaxMessageID   = 64
	MaxDeviceID    = 64
	DefaultMaxText = 4000      // the limit of a text unless a setting says otherwise
	MaxText        = 64 * 1024 // what that setting may be at most
)

// CheckUserID says what is wrong with a userid: it is 1 to 64 bytes of UTF-8 without : ; % # or control characters, and
// has no space at either end. It returns nil or a badreq or toolarge [*Error].
func CheckUserID(id UserID) error { return checkName("userid", string(id), MaxUserID) }

// CheckName says what is wrong with the name shown beside a user's messages: the rules are those of a userid.
func CheckName(name string) error { return checkName("username", name, MaxName) }

func checkName(what, s string, limit int) error {
	switch {
	case s == "":
		return Errorf(CodeBadReq, "the %s is empty", what)
	case len(s) > limit:
		return Errorf(CodeTooLarge, "the %s has %d bytes; the limit is %d", what, len(s), limit)
	case !utf8.ValidString(s):
		return Errorf(CodeBadReq, "the %s is not UTF-8", what)
	case strings.ContainsAny(s, ":;%#") || strings.ContainsFunc(s, unicode.IsControl):
		return Errorf(CodeBadReq, "the %s %q has one of : ; %% # or a control character in it", what, s)
	case strings.TrimSpace(s) != s:
		return Errorf(CodeBadReq, "the %s %q begins or ends with a space", what, s)
	}
	return nil
}

// CheckMailbox says what is wrong with a recipient: it is % or a userid.
func CheckMailbox(m Mailbox) error {
	if m == Everyone {
		return nil
	}
	return checkName("recipient", string(m), MaxUserID)
}

// CheckPassword says what is wrong with a password: it is at most 128 bytes of UTF-8 without : or control characters.
// The error never quotes it.
func CheckPassword(s Secret) error {
	b := s.view()
	switch {
	case len(b) > MaxPassword:
		return Errorf(CodeTooLarge, "the password has %d bytes; the limit is %d", len(b), MaxPassword)
	case !utf8.Valid(b):
		return Errorf(CodeBadReq, "the password is not UTF-8")
	case bytes.IndexByte(b, ':') >= 0 || bytes.IndexFunc(b, unicode.IsControl) >= 0:
		return Errorf(CodeBadReq, "the password has a colon or a control character in it")
	}
	return nil
}

// CheckText says what is wrong with a text: it is at most limit bytes, any but NUL.
func CheckText(text []byte, limit int) error {
	if len(text) > limit {
		return Errorf(CodeTooLarge, "the text has %d bytes; the limit is %d", len(text), limit)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return Errorf(CodeBadReq, "the text has a NUL byte in it")
	}
	return nil
}

// CheckMessageID says what is wrong with a message id: it is 1 to 64 bytes of UTF-8 without : ; or control characters.
func CheckMessageID(id MessageID) error { return checkValue("message id", string(id), MaxMessageID) }

// CheckDeviceID says what is wrong with a device's name: the rules are those of a message id.
func CheckDeviceID(id DeviceID) error { return checkValue("device", string(id), MaxDeviceID) }

func checkValue(what, s string, limit int) error {
	switch {
	case s == "":
		return Errorf(CodeBadReq, "the %s is empty", what)
	case len(s) > limit:
		return Errorf(CodeTooLarge, "the %s has %d bytes; the limit is %d", what, len(s), limit)
	case !utf8.ValidString(s) || strings.ContainsAny(s, ":;") || strings.ContainsFunc(s, unicode.IsControl):
		return Errorf(CodeBadReq, "the %s has : ; or a control character in it, or is not UTF-8", what)
	}
	return nil
}
