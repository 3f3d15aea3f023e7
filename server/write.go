package server

import (
	"crypto/rand"
	"errors"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// write is one message on its way to its shard, by either engine, and whoever waits for the answer.
type write struct {
	message  chat.Submission
	sequence *sequence // that it is one of; nil: none
	answer   func(chat.Stored)
	timer    *time.Timer // gives up at the deadline, whatever the engine waits for then
	progress atomic.Int32
	doubtful bool  // an attempt that has ended may have stored it; the engine's own
	lane     *lane // the event engine's
}

// How far a write has come. The engine that hands it to a shard and whoever gives up agree on it by compare-and-swap.
const (
	writeWaiting  int32 = iota // no shard can have it
	writeHanded                // a shard may have it
	writeAnswered              // it must not be handed to a shard any more
)

var (
	errWritesBusy = chat.Errorf(chat.CodeBusy, "too many messages wait for this recipient's shard; send again later")
	errNotStored  = chat.Errorf(chat.CodeUnavail,
		"the recipient's shard does not answer; nothing was stored, send again later")
	errInDoubt = chat.Errorf(chat.CodeUnknown,
		"the recipient's shard did not answer in time; it may have stored the message, send again with the same id")
)

func newWrite(m chat.Submission, q *sequence, deadline time.Time, answer func(chat.Stored)) *write {
	x := &write{message: m, sequence: q, answer: answer}
	x.timer = time.AfterFunc(time.Until(deadline), x.expire)
	return x
}

// hand says that a shard is about to get the message. It reports false if that must not be; then it is answered.
func (x *write) hand() bool {
	if x.sequence.isBroken() {
		x.refuse(errNotStored)
		return false
	}
	if faults.DedupeOff {
		// The mistake: each attempt has an id, and not each message, so what is sent again is not known again.
		x.message.ID = chat.MessageID(rand.Text())
	}
	return x.progress.CompareAndSwap(writeWaiting, writeHanded) || x.progress.Load() == writeHanded
}

// failed takes note of an attempt that has failed with err.
func (x *write) failed(err error) {
	switch {
	case !errors.Is(err, chat.ErrMoved) && chat.AsError(err).Code != chat.CodeUnavail:
		x.doubtful = true
	case !x.doubtful:
		x.progress.CompareAndSwap(writeHanded, writeWaiting)
	}
}

// finish answers with what the shard says, unless somebody has given up before.
func (x *write) finish(s chat.Stored) {
	if x.progress.Swap(writeAnswered) != writeAnswered {
		x.timer.Stop()
		x.answer(s)
	}
}

// reject answers that the message was not taken, and why. What waits before it goes on.
func (x *write) reject(why *chat.Error) {
	x.timer.Stop()
	x.answerOnce(why)
}

// refuse gives up a message that was taken: it answers that it was not stored, and why; or, where a shard may have it, that
// nobody knows.
func (x *write) refuse(why *chat.Error) {
	x.timer.Stop()
	x.giveUp(why)
}

func (x *write) expire() { x.giveUp(errNotStored) }

func (x *write) giveUp(why *chat.Error) {
	if x.progress.Load() == writeAnswered {
		return // it is stored, and what is behind it may be, too
	}
	x.sequence.giveUp()
	x.answerOnce(why)
}

func (x *write) answerOnce(why *chat.Error) {
	for {
		progress := x.progress.Load()
		switch {
		case progress == writeAnswered:
			return
		case !x.progress.CompareAndSwap(progress, writeAnswered):
			continue
		case progress == writeHanded:
			why = errInDoubt
		}
		x.answer(chat.Stored{Err: why})
		return
	}
}
