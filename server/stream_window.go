package server

import (
	"slices"
	"time"

	"multichat/internal/chat"
)

// window is what a stream has been given of one mailbox and has not acknowledged. Its fields are guarded by the stream's
// lock, but for place.
type window struct {
	stream *stream
	feed   *feed // acknowledged up to here
	place  int   // among the listeners of the mailbox, guarded by its lock

	sent  chat.Seq // given up to and including; what lies between was for others, or is the user's own
	open  []given  // given and not acknowledged, ascending; nil when there is nothing
	bytes int      // of the texts in open

	closed  bool          // it was full, and not half of it is free again
	stuck   time.Duration // since when something waits here and nothing is acknowledged, as Server.clock; 0 while that is not so
	retryAt time.Duration // nothing is given before
	retries uint8         // in a row that did not go through
	settles bool          // where to begin is not known yet: nothing is given until then

	asking  bool     // the shard is asked about an ack without a ref
	askNext chat.Seq // the newest such ack since; 0: there is none
}

// given is a message that a client has been given.
type given struct {
	seq   chat.Seq
	bytes int32
}

// Bounds of a window. What waits beyond them is given when half of the window has been acknowledged.
const (
	windowMessages = 256
	windowBytes    = 256 << 10 // of texts; one message fits at any time
)

// What does not go through is tried again after minRetry, doubling up to maxRetry.
const (
	minRetry = 20 * time.Millisecond
	maxRetry = time.Second
)

// opens makes the window of a stream that begins at the feed's position. What is at or below upTo has been given to it by
// another server, so it is not given again, but still has to be acknowledged.
func (w *window) opens(upTo chat.Seq) {
	w.sent = max(w.sent, w.feed.at())
	if upTo > w.sent {
		w.sent = upTo
		w.open = append(w.open, given{seq: upTo})
	}
}

// next is what the window has room for now: messages above sent, up to and including upTo once the user's own are left
// out. Or a gap, if the store has to be asked for what lies between sent and it.
func (w *window) next(now time.Duration) (messages []chat.Message, upTo, gap chat.Seq) {
	if w.settles || now < w.retryAt {
		w.stuck = 0
		return nil, 0, 0
	}
	if !w.feed.box.hasAbove(w.sent) {
		w.stuck, w.sent = 0, w.feed.box.passed(w.sent)
		return nil, 0, 0
	}
	waiting, gap := w.feed.box.after(w.sent, windowMessages)
	if gap != 0 && w.halfFree() {
		return nil, 0, gap // fewer would cost a query each
	}
	if gap == 0 && !w.closed {
		messages, upTo = w.fit(waiting)
	}
	if upTo == 0 && (gap != 0 || len(waiting) > 0) {
		w.closed = true
		if w.stuck == 0 {
			w.stuck = now
		}
		return nil, 0, 0
	}
	w.stuck = 0
	return messages, upTo, 0
}

// fit returns the first of some messages for which there is room, without the user's own broadcasts, and up to where they
// go, 0 if not even the first one fits.
func (w *window) fit(messages []chat.Message) (fitting []chat.Message, upTo chat.Seq) {
	count, bytes, own := len(w.open), w.bytes, 0
	end := 0
	for ; end < len(messages); end++ {
		if w.passes(&messages[end]) {
			own++
			continue
		}
		bytes += len(messages[end].Text)
		if count++; count > 1 && (count > windowMessages || bytes > windowBytes) {
			break
		}
	}
	if end == 0 {
		return nil, 0
	}
	fitting, upTo = messages[:end], messages[end-1].Seq
	if own > 0 {
		fitting = slices.DeleteFunc(slices.Clone(fitting), func(m chat.Message) bool { return w.passes(&m) })
	}
	return fitting, upTo
}

// passes says that the user never gets a message: it is the user's own broadcast.
func (w *window) passes(m *chat.Message) bool {
	return m.To == chat.Everyone && m.From == w.stream.user
}

// gave notes what the client has been given. It returns how many of the messages it had acknowledged before that, and
// whether the position has moved.
func (w *window) gave(messages []chat.Message, upTo chat.Seq) (taken int, moved bool) {
	at := w.feed.at()
	for i := range messages {
		if messages[i].Seq <= at {
			taken++
			continue
		}
		w.open = append(w.open, given{messages[i].Seq, int32(len(messages[i].Text))})
		w.bytes += len(messages[i].Text)
	}
	w.sent = max(w.sent, upTo)
	w.retries, w.retryAt = 0, 0
	return taken, w.follow()
}

// acknowledge moves the position up to seq. It returns how many messages are acknowledged by that, and whether the position
// has moved.
func (w *window) acknowledge(seq chat.Seq, now time.Duration) (taken int, moved bool) {
	for taken < len(w.open) && w.open[taken].seq <= seq {
		w.bytes -= int(w.open[taken].bytes)
		taken++
	}
	if w.open = w.open[taken:]; len(w.open) == 0 {
		w.open = nil // an idle stream keeps no memory
	}
	if taken > 0 {
		w.retryAt = 0 // its client reads
	}
	if taken > 0 && w.stuck != 0 {
		w.stuck = now
	}
	w.sent = max(w.sent, seq)
	w.closed = w.closed && !w.halfFree()
	moved = w.feed.raise(seq)
	return taken, w.follow() || moved
}

// follow moves the position up to where the client has been given everything, if it has acknowledged all of that.
func (w *window) follow() (moved bool) { return len(w.open) == 0 && !w.settles && w.feed.raise(w.sent) }

func (w *window) halfFree() bool {
	return len(w.open) <= windowMessages/2 && w.bytes <= windowBytes/2
}

// pause leaves the window alone for a while, longer each time.
func (w *window) pause(now time.Duration) (until time.Duration) {
	w.retryAt = now + min(maxRetry, minRetry<<min(w.retries, 10))
	if w.retries < 10 {
		w.retries++
	}
	return w.retryAt
}
