package server

import (
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/faults"
)

// stream is an open stream of version 2: it implements [edge.Stream]. One that only sends has no device, and then
// nothing of what is here for reading is used.
//
// An idle stream is memory alone: it has no goroutine and no timer. What arrives for it wakes it, see deliveries.
type stream struct {
	bookmark
	windows [2]window // of its user's own mailbox, and of Everyone

	server  *Server
	home    *shard // of its user
	client  edge.StreamClient
	user    chat.UserID
	device  chat.DeviceID
	account atomic.Pointer[account] // its user, as read last
	turn    turn                    // guarded by deliveries.mu
	sent    sequences

	// The watch's own, once the stream is in the table.
	from     edge.Caller   // with the ticket that the caller has, if it keeps any
	ticketed time.Duration // when it was looked last whether that is good for long enough, as Server.clock

	// Guarded by the bookmark's lock.
	reads   bool // its mailboxes are joined
	ended   bool
	waiting int // acks that wait for a shard, at most maxStreamAcks
}

// maxStreamAcks is how many acks of a stream may wait until a shard has said that there is such a seq, or has stored it. One
// more is answered busy.
const maxStreamAcks = 1024

var (
	errSlow = chat.Errorf(chat.CodeSlow, "you do not acknowledge what you are given; log in again to be given it again")

	errAcksBusy = chat.Errorf(chat.CodeBusy,
		"too many acknowledgements of this stream wait for your shard; acknowledge again later")

	errNotThatUser = chat.Errorf(chat.CodeAuth, "the password was changed or the user was removed; log in again")
)

func newStream(s *Server, user *account, from edge.Caller, l edge.Login, client edge.StreamClient) *stream {
	st := &stream{server: s, home: s.shards[user.loader.shard], client: client, user: user.user.ID, device: l.Device,
		from: from, ticketed: s.clock()}
	st.account.Store(user)
	st.of, st.shard = st, st.home.number
	st.windows[0] = window{stream: st, feed: &st.inbox}
	st.windows[1] = window{stream: st, feed: &st.broadcast}
	return st
}

func (st *stream) owner() chat.UserID  { return st.user }
func (st *stream) name() chat.DeviceID { return st.device }

// outdated ends the stream with the reason: a device is also gone with its user, and that is perhaps seen here before the
// watch sees it.
func (st *stream) outdated() {
	asked := st.server.accounts.request(st.user, func(user *account, err error) {
		if err == nil && st.isAnothers(user) {
			st.end(errNotThatUser)
		} else {
			st.end(errReplaced)
		}
	})
	if !asked {
		st.end(errReplaced)
	}
}

// isAnothers says that the user as it is now, nil if there is none, is not the one that has logged in.
func (st *stream) isAnothers(user *account) bool {
	return user == nil || user.user.Hash != st.account.Load().user.Hash
}

// Send has a message stored, behind what the stream has sent to the same mailbox before.
func (st *stream) Send(ref uint64, m edge.StreamMessage) {
	s := st.server
	if s.draining.Load() {
		return // nobody answers it here: the client is about to be told to go on at another server, and sends it again there
	}
	user := st.account.Load()
	err := chat.CheckText(m.Text, s.maxText)
	if err == nil {
		err = s.admitSend(user)
	}
	if err != nil {
		st.client.Answer(ref, 0, chat.AsError(err))
		return
	}
	s.sending.Add(1)
	submission := chat.Submission{ID: m.ID, From: user.user.ID, FromName: user.user.Name, To: m.To, Text: m.Text,
		Sent: faults.Now()}
	q := st.sent.join(m.To)
	s.engine.submit(submission, q, time.Now().Add(s.hold), func(stored chat.Stored) {
		st.sent.leave(m.To, q)
		st.client.Answer(ref, stored.Seq, stored.Err)
		s.sending.Add(-1)
	})
}

// Ack moves the device's place in a mailbox. A seq that this server does not know of yet may well be another's, which had
// the stream before and has read further: then the shard is asked.
func (st *stream) Ack(ref uint64, mailbox chat.Mailbox, seq chat.Seq) {
	w := st.window(mailbox)
	if w == nil {
		st.client.Answer(ref, 0, chat.Errorf(chat.CodeBadReq, "this stream does not read the mailbox %q", mailbox))
		return
	}
	r := st.server.shards[w.feed.box.shard].reader
	switch {
	case st.gaveUpTo(w) >= seq || r.newest() >= seq:
		st.acknowledge(w, ref, seq)
	case ref == 0:
		st.askPlain(w, r, seq)
	case !st.waits():
		st.client.Answer(ref, 0, errAcksBusy)
	default:
		r.ask(func(newest chat.Seq, refusal *chat.Error) {
			st.waited()
			st.acknowledgeUpTo(w, ref, seq, newest, refusal)
		})
	}
}

// acknowledgeUpTo acknowledges if a shard that was asked knows of such a seq.
func (st *stream) acknowledgeUpTo(w *window, ref uint64, seq, newest chat.Seq, refusal *chat.Error) {
	if refusal == nil && seq > newest {
		refusal = chat.Errorf(chat.CodeBadReq, "there is no message %d yet; the newest is %d at most", seq, newest)
	}
	if refusal != nil {
		st.client.Answer(ref, 0, refusal)
		return
	}
	st.acknowledge(w, ref, seq)
}

// askPlain asks the shard about an ack that wants no answer, unless it is being asked about one already: then the newest
// of those that come meanwhile is asked about next, and stands for the others. So acks of messages that do not exist,
// which nothing else bounds, are refused no faster than the shard answers.
func (st *stream) askPlain(w *window, r *reader, seq chat.Seq) {
	st.mu.Lock()
	asking := w.asking
	if asking {
		w.askNext = seq
	}
	w.asking = true
	st.mu.Unlock()
	if asking {
		return
	}
	r.ask(func(newest chat.Seq, refusal *chat.Error) {
		st.acknowledgeUpTo(w, 0, seq, newest, refusal)
		st.mu.Lock()
		next := w.askNext
		w.asking, w.askNext = false, 0
		st.mu.Unlock()
		if next != 0 {
			st.Ack(0, w.feed.box.name, next)
		}
	})
}

// waits counts an ack that waits for a shard, or says that too many do. waited ends that.
func (st *stream) waits() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.waiting == maxStreamAcks {
		return false
	}
	st.waiting++
	return true
}

func (st *stream) waited() {
	st.mu.Lock()
	st.waiting--
	st.mu.Unlock()
}

func (st *stream) window(mailbox chat.Mailbox) *window {
	switch {
	case st.device == "":
		return nil
	case mailbox == chat.Everyone:
		return &st.windows[1]
	case mailbox == st.user.Mailbox():
		return &st.windows[0]
	}
	return nil
}

func (st *stream) gaveUpTo(w *window) chat.Seq {
	st.mu.Lock()
	defer st.mu.Unlock()
	return w.sent
}

func (st *stream) acknowledge(w *window, ref uint64, seq chat.Seq) {
	s := st.server
	st.mu.Lock()
	taken, moved := w.acknowledge(seq, s.clock())
	room := !w.closed && w.feed.box.hasAbove(w.sent)
	st.mu.Unlock()
	s.took(taken)
	if moved {
		st.home.cursors.mark(&st.bookmark)
	}
	if room {
		s.deliveries.wake(w)
	}
	if ref != 0 {
		st.confirm(ref)
	}
}

// confirm answers an ack once the cursor is stored.
func (st *stream) confirm(ref uint64) {
	switch {
	case st.home.reader.silent():
		st.client.Answer(ref, 0, errCursorsSilent)
	case !st.waits():
		st.client.Answer(ref, 0, errAcksBusy)
	default:
		st.home.cursors.ask(&st.bookmark, func(refusal *chat.Error) {
			st.waited()
			st.client.Answer(ref, 0, refusal)
		})
	}
}

// took counts messages that clients of streams have acknowledged.
func (s *Server) took(messages int) {
	if messages > 0 {
		s.metrics.Pushes.WithLabelValues(edge.PushTaken.String()).Add(float64(messages))
	}
}

// Close ends the stream. What it has sent is stored all the same.
func (st *stream) Close() { st.leave() }

// end ends the stream and tells its client why; see [edge.StreamClient].
func (st *stream) end(why error) {
	if st.leave() {
		st.client.End(why)
	}
}

// leave takes the stream out of all tables, and reports false if that was done before.
func (st *stream) leave() bool {
	st.mu.Lock()
	first, reads := !st.ended, st.reads
	st.ended = true
	st.mu.Unlock()
	if first {
		st.home.streams.remove(st)
		st.server.metrics.Served.Dec()
	}
	if first && reads {
		st.unread()
	}
	return first
}

// unread gives the mailboxes back, and has stored how far they were read.
func (st *stream) unread() {
	for i := range st.windows {
		st.windows[i].feed.box.unlisten(&st.windows[i])
	}
	st.server.leave(&st.bookmark)
	st.home.cursors.last(&st.bookmark)
}
