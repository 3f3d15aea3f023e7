package chat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"multichat/internal/chat"
)

func TestErrorReadsAsCodeAndReason(t *testing.T) {
	err := chat.Errorf(chat.CodeNoUser, "there is no user %q", "bob")
	if err.Code != chat.CodeNoUser || err.Reason != `there is no user "bob"` {
		t.Errorf("got %+v", err)
	}
	if got := err.Error(); got != `nouser: there is no user "bob"` {
		t.Errorf("it reads %s", got)
	}
	if cause := errors.Unwrap(err); cause != nil {
		t.Errorf("it has the cause %v", cause)
	}
}

func TestErrorfKeepsItsCauses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    *chat.Error
		causes []error
	}{
		{"one", chat.Errorf(chat.CodeUnavail, "asking the shard: %w", io.EOF), []error{io.EOF}},
		{"one that has one", chat.Errorf(chat.CodeUnavail, "asking: %w", fmt.Errorf("reading: %w", io.EOF)), []error{io.EOF}},
		{"two", chat.Errorf(chat.CodeUnknown, "%w while reading: %w", context.Canceled, io.EOF), []error{context.Canceled, io.EOF}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, cause := range tc.causes {
				if !errors.Is(tc.err, cause) {
					t.Errorf("%v is not %v", tc.err, cause)
				}
			}
			if errors.Is(tc.err, io.ErrUnexpectedEOF) {
				t.Error("it is an error that it was not made of")
			}
		})
	}
}

func TestBecauseIsForLogsAlone(t *testing.T) {
	plain := chat.Errorf(chat.CodeUnavail, "shard a is full: %w", context.Canceled)
	err := plain.Because(fmt.Errorf("writing /var/a.db: %w", io.ErrShortWrite))
	if err.Code != chat.CodeUnavail || err.Reason != "shard a is full: context canceled" {
		t.Errorf("the answer has become %+v", err)
	}
	if got := err.Error(); got != "unavail: shard a is full: context canceled: writing /var/a.db: short write" {
		t.Errorf("it reads %s", got)
	}
	if !errors.Is(err, io.ErrShortWrite) {
		t.Error("the cause is lost")
	}
	if errors.Is(err, context.Canceled) {
		t.Error("the former cause is still there")
	}
	if got := plain.Error(); got != "unavail: shard a is full: context canceled" || errors.Is(plain, io.ErrShortWrite) {
		t.Errorf("the error that it was made of has become %s", got)
	}
	if got := err.Because(nil); got.Error() != "unavail: shard a is full: context canceled" || errors.Unwrap(got) != nil {
		t.Errorf("because of nothing it reads %s", got)
	}
}

func TestAsErrorFindsTheAnswer(t *testing.T) {
	busy := chat.Errorf(chat.CodeBusy, "try later")
	for _, tc := range []struct {
		name string
		err  error
	}{
		{"itself", busy},
		{"wrapped", fmt.Errorf("sending: %w", busy)},
		{"wrapped twice", fmt.Errorf("sending: %w", fmt.Errorf("asking: %w", busy))},
		{"joined", errors.Join(io.EOF, busy)},
	} {
		if got := chat.AsError(tc.err); got != busy {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

func TestAsErrorOfNothingIsNothing(t *testing.T) {
	if got := chat.AsError(nil); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestAsErrorOfAnotherErrorIsUnknown(t *testing.T) {
	got := chat.AsError(fmt.Errorf("asking the shard: %w", context.DeadlineExceeded))
	if got.Code != chat.CodeUnknown || got.Reason != "the outcome is not known; send again with the same id" {
		t.Errorf("got %v", got)
	}
	const logged = ": asking the shard: context deadline exceeded"
	if !errors.Is(got, context.DeadlineExceeded) || !strings.HasSuffix(got.Error(), logged) {
		t.Errorf("the cause is lost: %v", got)
	}
}
