package server

import (
	"slices"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// deliver gives a stream what waits in its own mailbox, and then what waits in Everyone, as far as there is room. It never
// gives anything above the position of a shard's reader, since that is as far as tails go, and pages end at a tail.
func (s *Server) deliver(st *stream) {
	more := false
	for i := range st.windows {
		w := &st.windows[i]
		messages, upTo, gap := st.next(w)
		switch {
		case gap != 0 && s.readPage(st, w, gap):
			return // whoever reads it goes on
		case gap != 0:
			s.tryLater(w) // the other mailbox may be on a shard that answers
		case upTo == 0:
		case s.give(w, messages, upTo):
			more = true
		default:
			s.tryLater(w)
			s.deliveries.finish(st, more)
			return
		}
	}
	s.deliveries.finish(st, more)
}

func (st *stream) next(w *window) (messages []chat.Message, upTo, gap chat.Seq) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended || !st.reads {
		return nil, 0, 0
	}
	return w.next(st.server.clock())
}

// give gives messages to the stream's client, and reports false if that has no room for them.
func (s *Server) give(w *window, messages []chat.Message, upTo chat.Seq) bool {
	st := w.stream
	if len(messages) > 0 && !st.client.Deliver(messages) {
		return false
	}
	st.mu.Lock()
	taken, moved := w.gave(messages, upTo)
	st.mu.Unlock()
	s.took(taken)
	if moved {
		st.home.cursors.mark(&st.bookmark)
	}
	if faults.CursorBeforeAck {
		// The mistake: what was handed on will arrive.
		st.acknowledge(w, 0, upTo)
		st.home.cursors.ask(&st.bookmark, func(*chat.Error) {})
	}
	return true
}

// readPage has a page read for a stream, up to where the tail begins, and given; that ends its turn. It reports false if
// none can be read now.
func (s *Server) readPage(st *stream, w *window, gap chat.Seq) bool {
	sh := s.shards[w.feed.box.shard]
	return !sh.reader.silent() && sh.streamPages.Run(func() {
		s.givePage(st, w, gap)
		s.deliveries.finish(st, true)
	}) == nil
}

func (s *Server) givePage(st *stream, w *window, gap chat.Seq) {
	after, limit, bytes := st.space(w)
	messages, err := s.readMailbox(s.pushing, w.feed.box, after, gap, limit, bytes)
	if err != nil {
		s.log.Debug("what waits could not be read; it is tried again", "mailbox", w.feed.box.name, "error", err)
		s.tryLater(w)
		return
	}
	upTo := gap // nothing is left between the position and the tail
	if len(messages) > 0 {
		if messages, upTo = st.fit(w, messages); upTo == 0 {
			return
		}
	}
	if !s.give(w, messages, upTo) {
		s.tryLater(w)
	}
}

// space is where a page for the window begins, and for how much there is room.
func (st *stream) space(w *window) (after chat.Seq, messages, bytes int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return w.sent, windowMessages - len(w.open), windowBytes - w.bytes
}

// fit is the window's, for a page: while that was read, the client may have acknowledged more than it was given here.
func (st *stream) fit(w *window, messages []chat.Message) ([]chat.Message, chat.Seq) {
	st.mu.Lock()
	defer st.mu.Unlock()
	first, _ := slices.BinarySearchFunc(messages, w.sent+1, bySeq)
	return w.fit(messages[first:])
}

// tryLater has the stream come back to a window after a pause.
func (s *Server) tryLater(w *window) {
	w.stream.mu.Lock()
	until := w.pause(s.clock())
	w.stream.mu.Unlock()
	s.deliveries.pause(w, until)
}
