package server

import (
	"context"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// login is a stream that is being opened, and who waits for it.
type login struct {
	stream *stream
	chat.Login
	given  edge.Places      // by the server before, if it takes over
	answer chan *chat.Error // one slot; nil says that the stream is open
}

var (
	errLoginSilent = chat.Errorf(chat.CodeUnavail, "your shard does not answer; log in again later")
	errLoginsBusy  = chat.Errorf(chat.CodeBusy, "too many log in at once; try again later")
)

// Login opens a stream. Where its device begins, and that it is the newest of the device, is committed before anything is
// pushed, and before Login returns. It implements [edge.Handler].
func (s *Server) Login(ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, s.hold)
	defer cancel()
	if s.draining.Load() {
		return nil, edge.ErrLeaving
	}
	user, err := s.authenticate(ctx, from, l.User, l.Password, l.TakeOver && l.Password.Len() == 0)
	if err != nil {
		return nil, err
	}
	st := newStream(s, user, from, l, client)
	if refusal := st.home.streams.admit(st); refusal != nil {
		return nil, refusal
	}
	s.metrics.Served.Inc()
	if refusal := s.openStream(ctx, st, l); refusal != nil {
		st.Close()
		return nil, refusal
	}
	return st, nil
}

// openStream has a stream opened in its shard's next batch, unless it only sends.
func (s *Server) openStream(ctx context.Context, st *stream, l edge.Login) *chat.Error {
	if st.device == "" {
		return nil
	}
	request := &login{stream: st, answer: make(chan *chat.Error, 1), Login: chat.Login{
		Device: chat.Device{User: st.user, ID: st.device}, Nonce: l.Nonce, TakeOver: l.TakeOver}}
	if l.TakeOver {
		request.given = l.Given
	}
	if !st.home.opens.offer(openRequest{login: request}) {
		return errLoginsBusy
	}
	select {
	case refusal := <-request.answer:
		return refusal
	case <-ctx.Done():
		return errLoginSilent
	}
}

func refuseAll(logins []*login, why *chat.Error) {
	for _, l := range logins {
		l.answer <- why
	}
}

// openStreams begins a session for each login, and then has the streams read. It returns those that do; the others are
// answered.
func (s *Server) openStreams(ctx context.Context, sh *shard, logins []*login) (opened []*login) {
	if logins = awaited(logins); len(logins) == 0 {
		return nil
	}
	wanted := make([]chat.Login, len(logins))
	for i, l := range logins {
		wanted[i] = l.Login
	}
	cursors, err := s.store.LoginDevices(ctx, sh.number, wanted)
	if err != nil {
		refuseAll(logins, errLoginSilent.Because(err))
		return nil
	}
	for i, l := range logins {
		if refusal := s.begin(sh, l, cursors[i]); refusal != nil {
			l.answer <- refusal
			continue
		}
		opened = append(opened, l)
	}
	return opened
}

// awaited leaves out the logins that nobody waits for any more: they must not take a device from a stream that is there.
func awaited(logins []*login) (awaited []*login) {
	for _, l := range logins {
		l.stream.mu.Lock()
		if !l.stream.ended {
			awaited = append(awaited, l)
		}
		l.stream.mu.Unlock()
	}
	return awaited
}

// begin has a stream read its mailboxes from where the store says on, in the place of the one that had its device.
func (s *Server) begin(sh *shard, l *login, cursor chat.Cursor) *chat.Error {
	switch {
	case cursor.User == "":
		return errNotThatUser // removed a moment ago
	case !l.Has(cursor.Session):
		return errReplaced
	}
	st := l.stream
	st.session = cursor.Session
	st.inbox.box = sh.reader.join(st.user.Mailbox())
	st.broadcast.box = s.broadcasts().join(chat.Everyone)
	st.begins(cursor, s.clock())
	s.place(&st.windows[0], l.given.Inbox)
	s.place(&st.windows[1], l.given.Broadcast)
	if !st.read() {
		s.leave(&st.bookmark)
		return errLoginSilent // nobody waits for it any more
	}
	s.log.Debug("a stream reads", "client", st.from.Addr, "user", st.user, "device", st.device)
	switch replaced := sh.streams.claim(st); replaced {
	case nil:
	case st:
		return errReplaced
	default:
		replaced.end(errReplaced)
	}
	return nil
}

// place has a window begin behind what its client was given before, as far as there is such a thing: a seq that this
// server does not know of yet may well be another's, which has read further. Then the shard is asked.
func (s *Server) place(w *window, given chat.Seq) {
	r := s.shards[w.feed.box.shard].reader
	if given <= r.newest() {
		w.opens(given)
		return
	}
	w.settles = true
	r.ask(func(newest chat.Seq, refusal *chat.Error) {
		if refusal != nil {
			newest = r.newest() // what is above that may come twice; its client knows it by its seq
		}
		s.settle(w, min(given, newest))
	})
}

// settle ends the time in which it is not known where a window begins.
func (s *Server) settle(w *window, given chat.Seq) {
	w.stream.mu.Lock()
	w.settles = false
	w.opens(given)
	w.stream.mu.Unlock()
	s.deliveries.wake(w)
}

// read has the stream woken by its mailboxes, or reports false if it has ended.
func (st *stream) read() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return false
	}
	st.reads = true
	for i := range st.windows {
		st.windows[i].feed.box.listen(&st.windows[i])
	}
	return true
}
