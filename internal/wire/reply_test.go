package wire

import (
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"multichat/internal/chat"
)

func TestAppendReply(t *testing.T) {
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"stored", AppendOK(nil, "m1", 7169), "ok;id=m1;seq=7169\n"},
		{"done, with no place to tell", AppendOK(nil, "r1", 0), "ok;id=r1\n"},
		{"refused", AppendErr(nil, "m1", chat.Errorf(chat.CodeNoUser, "no user bob")), "err;id=m1:nouser:no user bob\n"},
		{"refused without an id", AppendErr(nil, "", chat.Errorf(chat.CodeBadReq, "no")), "err:badreq:no\n"},
		{"a sentence may hold : and ;", AppendErr(nil, "", chat.Errorf(chat.CodeBadReq, "a:b;c=d")), "err:badreq:a:b;c=d\n"},
		{
			"a sentence is one line that cannot steer a terminal",
			AppendErr(nil, "", chat.Errorf(chat.CodeBadReq, "a\nok;id=m1\x1b[2J\u2028b\xff")),
			"err:badreq:a ok;id=m1 [2J b\ufffd\n",
		},
		{"appended to what is there", AppendOK([]byte("x"), "m", 1), "xok;id=m;seq=1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if string(tc.got) != tc.want {
				t.Errorf("got %q, want %q", tc.got, tc.want)
			}
		})
	}
}

func TestRepliesFitAHeader(t *testing.T) {
	id := chat.MessageID(strings.Repeat("m", chat.MaxMessageID))
	for _, reason := range []string{strings.Repeat("a", 10000), strings.Repeat("é", 5000), strings.Repeat("\xff", 5000)} {
		line := AppendErr(nil, id, chat.Errorf(chat.CodeUnknown, "%s", reason))
		if len(line) > MaxHeader || !utf8.Valid(line) || !strings.HasSuffix(string(line), "…\n") {
			t.Errorf("the line of %d bytes ends in %q", len(line), line[len(line)-10:])
		}
		if _, err := DecodeReply(line); err != nil {
			t.Error(err)
		}
	}
}

func TestDecodeReply(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		want       Reply
	}{
		{"stored", "ok;id=m1;seq=7169\n", Reply{ID: "m1", Seq: 7169}},
		{"in another order, with something new", "ok;seq=7169;new=x;id=m1", Reply{ID: "m1", Seq: 7169}},
		{"done", "ok\n", Reply{}},
		{"refused", "err;id=m1:auth:wrong: no\n", Reply{ID: "m1", Err: chat.Errorf(chat.CodeAuth, "wrong: no")}},
		{"refused without an id", "err:busy:later", Reply{Err: chat.Errorf(chat.CodeBusy, "later")}},
		{"with a code of the future", "err:teapot:short", Reply{Err: chat.Errorf("teapot", "short")}},
		{"a sentence that would steer a terminal", "err:busy:a\x1b[2J", Reply{Err: chat.Errorf(chat.CodeBusy, "a [2J")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := DecodeReply([]byte(tc.line))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	for _, line := range []string{
		"", "\n", "okay", "ok;seq=-1", "ok;seq=+1", "ok;seq=x", "ok;seq=9223372036854775808",
		"err", "err:busy", "err::why", "err:BUSY:why",
		"err;id=:busy:why", "newmsg:1:a:b:c", "err:busy:" + strings.Repeat("a", MaxHeader),
	} {
		_, err := DecodeReply([]byte(line))
		wantCode(t, err, chat.CodeBadReq)
	}
}

func FuzzDecodeReply(f *testing.F) {
	for _, seed := range []string{
		"ok;id=m1;seq=7\n", "ok", "err;id=m:busy:try later\n", "err:auth:", "err:a:b:c\x1b", "ok;seq=0", "ok:x", "err:a:\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		reply, err := DecodeReply(line)
		if err != nil {
			return
		}
		var out []byte
		if reply.Err == nil {
			out = AppendOK(nil, reply.ID, reply.Seq)
		} else {
			out = AppendErr(nil, reply.ID, reply.Err)
			if strings.ContainsFunc(reply.Err.Reason, unicode.IsControl) || len(reply.Err.Reason) > maxSentence {
				t.Fatalf("%q has the sentence %q", line, reply.Err.Reason)
			}
		}
		again, err := DecodeReply(out)
		if err != nil || !reflect.DeepEqual(reply, again) {
			t.Fatalf("%q was encoded as %q: %+v, %v", line, out, again, err)
		}
	})
}
