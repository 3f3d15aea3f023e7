package shardstore

import (
	"errors"
	"fmt"

	"multichat/internal/chat"
)

// answers turns the errors of a shard's database into what its callers are answered with: what anybody may read, and,
// behind it for the logs, what to do about it.
type answers struct {
	name     string // the shard's
	diagnose func(error) diagnosis
}

// notStored is the answer to err when nothing has been stored for certain. Errors that callers decide by pass through.
func (a *answers) notStored(doing string, err error) error {
	switch {
	case err == nil, err == errNotPlain, errors.Is(err, ErrFenced), errors.Is(err, ErrUserExists), errors.Is(err, ErrNoUser):
		return err
	}
	d := a.diagnose(err)
	return chat.Errorf(chat.CodeUnavail, "shard %s %s; nothing was stored, send again later", a.name, d.seen).
		Because(fmt.Errorf("shard %s could not %s: %s: %w", a.name, doing, d.remedy, err))
}

// perhapsStored is the answer to an error of COMMIT itself, or one after which nobody knows whether it was reached: the
// rows may be there or not.
func (a *answers) perhapsStored(doing string, err error) error {
	d := a.diagnose(err)
	return chat.Errorf(chat.CodeUnknown, "shard %s %s; it may have been stored, send again with the same id", a.name, d.seen).
		Because(fmt.Errorf("shard %s was to %s and may have: %s: %w", a.name, doing, d.remedy, err))
}

// unread is the answer to a read that failed.
func (a *answers) unread(err error) error { return a.notStored("be read", err) }
