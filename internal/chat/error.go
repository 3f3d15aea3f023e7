package chat

import (
	"errors"
	"fmt"
)

// Code says what kind of answer a refusal is. The codes are part of the protocol: programs decide by them.
type Code string

const (
	CodeAuth     Code = "auth"     // who you are is wrong; only after a comparison was made
	CodeBadReq   Code = "badreq"   // the request is not of the protocol's form
	CodeTooLarge Code = "toolarge" // a field is over its limit
	CodeNoUser   Code = "nouser"   // the recipient does not exist
	CodeConflict Code = "conflict" // this id was used for another text
	CodeBusy     Code = "busy"     // over a limit; nothing was stored, try later
	CodeUnavail  Code = "unavail"  // a part of the system that this needs is down; nothing was stored
	CodeUnknown  Code = "unknown"  // it may have been stored; send again with the same id
	CodeReplaced Code = "replaced" // a newer stream of this device took over
	CodeSlow     Code = "slow"     // the client does not read
)

// Error is an answer that a person can read: what happened, to what, and what to do. Anybody may be that person: Reason
// goes out over the network, also before it is known who asked. What tells of addresses, files or a driver's troubles
// belongs into the cause, see [Error.Because].
type Error struct {
	Code   Code
	Reason string // one sentence, lower case, without control characters

	cause  error // for errors.Is and errors.As; nil if there is none
	inLogs bool  // Reason does not tell the cause, Error does
}

// Errorf makes an Error. As in fmt.Errorf, each %w keeps its cause for errors.Is and errors.As, and puts its words into
// Reason.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	cause := errors.Unwrap(err)
	if _, several := err.(interface{ Unwrap() []error }); several {
		cause = err // errors.Unwrap sees a single cause only
	}
	return &Error{Code: code, Reason: err.Error(), cause: cause}
}

// Because is e with a cause that is not for whoever gets the answer: Error tells it, for logs, and Reason does not. It
// takes the place of any cause that e had. e itself stays as it is.
func (e *Error) Because(cause error) *Error {
	return &Error{Code: e.Code, Reason: e.Reason, cause: cause, inLogs: cause != nil}
}

// Error is the code, the reason and, if Because gave one, the cause. It is for logs; clients get Code and Reason.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Reason
	if e.inLogs {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.cause }

// AsError finds the answer in err. An error that carries none means that nobody knows what happened, so it becomes
// [CodeUnknown] because of err. nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(CodeUnknown, "the outcome is not known; send again with the same id").Because(err)
}

// ErrMoved says that a shard no longer serves what it was asked to write: nothing was written. The map has been read
// again by then, so whoever gets it asks where the mailbox is now and tries there.
var ErrMoved = errors.New("the mailbox has moved to another shard")
