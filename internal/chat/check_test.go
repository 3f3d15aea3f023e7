package chat_test

import (
	"strings"
	"testing"

	"multichat/internal/chat"
)

const (
	good     chat.Code = ""
	badReq             = chat.CodeBadReq
	tooLarge           = chat.CodeTooLarge
)

func wantCode(t *testing.T, what string, err error, want chat.Code) {
	t.Helper()
	switch e, ok := err.(*chat.Error); {
	case err == nil && want == good:
	case err == nil:
		t.Errorf("%s passes, want %s", what, want)
	case !ok || e.Code != want:
		t.Errorf("%s: got %v, want code %q", what, err, want)
	case e.Reason == "" || strings.ContainsAny(e.Reason, "\x00\n\x1b"):
		t.Errorf("%s: the reason is %q", what, e.Reason)
	}
}

func xs(n int) string { return strings.Repeat("x", n) }

// A userid, the name beside it and a recipient have one form.
func TestCheckNames(t *testing.T) {
	for _, tc := range []struct {
		name, id string
		want     chat.Code
	}{
		{"one letter", "a", good},
		{"letters and digits", "alice42", good},
		{"UTF-8", "Zoë 茶 🍵", good},
		{"a space inside", "alice b", good},
		{"other punctuation", "a.b-c_d@e/f=g,h", good},
		{"64 bytes", xs(64), good},
		{"64 bytes of UTF-8", strings.Repeat("ä", 32), good},
		{"empty", "", badReq},
		{"65 bytes", xs(65), tooLarge},
		{"65 bytes in fewer characters", strings.Repeat("ä", 32) + "x", tooLarge},
		{"very long", xs(1 << 20), tooLarge},
		{"a colon", "al:ice", badReq},
		{"a semicolon", "al;ice", badReq},
		{"a percent sign", "al%ice", badReq},
		{"a hash", "#alice", badReq},
		{"NUL", "al\x00ice", badReq},
		{"a newline", "alice\n", badReq},
		{"an escape", "\x1b[31malice", badReq},
		{"DEL", "alice\x7f", badReq},
		{"a control character beyond ASCII", "al\u0085ice", badReq},
		{"a leading space", " alice", badReq},
		{"a trailing space", "alice ", badReq},
		{"a trailing no-break space", "alice\u00a0", badReq},
		{"only a space", " ", badReq},
		{"not UTF-8", "al\xffice", badReq},
		{"half a character", "alice\xc3", badReq},
	} {
		wantCode(t, "userid: "+tc.name, chat.CheckUserID(chat.UserID(tc.id)), tc.want)
		wantCode(t, "username: "+tc.name, chat.CheckName(tc.id), tc.want)
		wantCode(t, "recipient: "+tc.name, chat.CheckMailbox(chat.Mailbox(tc.id)), tc.want)
	}
}

func TestEveryoneIsARecipientAndNoUser(t *testing.T) {
	wantCode(t, "recipient", chat.CheckMailbox(chat.Everyone), good)
	wantCode(t, "userid", chat.CheckUserID(chat.UserID(chat.Everyone)), badReq)
	wantCode(t, "username", chat.CheckName(string(chat.Everyone)), badReq)
	if got := chat.UserID("alice").Mailbox(); got != "alice" {
		t.Errorf("alice's mailbox is %q", got)
	}
}

func TestCheckPassword(t *testing.T) {
	for _, tc := range []struct {
		name, password string
		want           chat.Code
	}{
		{"empty", "", good},
		{"spaces around", "  correct horse  ", good},
		{"what names may not have", "a;b%c#d", good},
		{"UTF-8", "пароль🔑", good},
		{"128 bytes", xs(128), good},
		{"129 bytes", xs(129), tooLarge},
		{"129 bytes in fewer characters", strings.Repeat("ä", 64) + "x", tooLarge},
		{"a colon", "pass:word", badReq},
		{"a newline", "password\n", badReq},
		{"NUL", "pass\x00word", badReq},
		{"a control character beyond ASCII", "pass\u0085word", badReq},
		{"not UTF-8", "pass\xffword", badReq},
	} {
		err := chat.CheckPassword(chat.NewSecret(tc.password))
		wantCode(t, tc.name, err, tc.want)
		if err != nil && strings.Contains(err.Error(), tc.password) {
			t.Errorf("%s: the error quotes the password: %v", tc.name, err)
		}
	}
}

func TestCheckText(t *testing.T) {
	every := make([]byte, 0, 255)
	for b := 1; b < 256; b++ {
		every = append(every, byte(b))
	}
	for _, tc := range []struct {
		name, text string
		limit      int
		want       chat.Code
	}{
		{"empty", "", 10, good},
		{"at the limit", xs(10), 10, good},
		{"one over the limit", xs(11), 10, tooLarge},
		{"at the default limit", xs(4000), chat.DefaultMaxText, good},
		{"one over the default limit", xs(4001), chat.DefaultMaxText, tooLarge},
		{"at the highest limit", xs(64 << 10), chat.MaxText, good},
		{"one over the highest limit", xs(64<<10 + 1), chat.MaxText, tooLarge},
		{"bytes, not characters, count", strings.Repeat("ä", 6), 10, tooLarge},
		{"every byte but NUL", string(every), 255, good},
		{"NUL alone", "\x00", 10, badReq},
		{"NUL at the end", "hello\x00", 10, badReq},
	} {
		wantCode(t, tc.name, chat.CheckText([]byte(tc.text), tc.limit), tc.want)
	}
}

// A message id and a device's name are values of attributes, and have their form.
func TestCheckValues(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		want        chat.Code
	}{
		{"a UUID", "0198c0de-0000-7000-8000-000000000000", good},
		{"an address", "127.0.0.11/4391", good},
		{"UTF-8", "café", good},
		{"spaces, % # and =", " a%b#c=d ", good},
		{"64 bytes", xs(64), good},
		{"empty", "", badReq},
		{"65 bytes", xs(65), tooLarge},
		{"a colon", "a:b", badReq},
		{"a semicolon", "a;b", badReq},
		{"a newline", "a\n", badReq},
		{"NUL", "\x00", badReq},
		{"not UTF-8", "\xff", badReq},
	} {
		wantCode(t, "message id: "+tc.name, chat.CheckMessageID(chat.MessageID(tc.value)), tc.want)
		wantCode(t, "device: "+tc.name, chat.CheckDeviceID(chat.DeviceID(tc.value)), tc.want)
	}
}
