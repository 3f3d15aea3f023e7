package server

import (
	"context"
	"maps"
	"slices"
	"time"

	"multichat/internal/chat"
)

const watchTick = time.Second

// watchTimes are what streams are watched by.
type watchTimes struct {
	// slow is for how long a client may acknowledge nothing while more waits than fits its window.
	slow time.Duration

	// seen is how often the store hears of a stream, whether or not there is anything to get: so one whose device logs in
	// elsewhere learns of it within a minute, even if it idles.
	seen time.Duration

	// ticket is how often it is looked whether a stream's ticket has to be renewed.
	ticket time.Duration
}

var usualWatchTimes = watchTimes{slow: 30 * time.Second, seen: 50 * time.Second, ticket: time.Minute}

// watched are the streams that something has to be done about.
type watched struct {
	slow    []*stream
	unseen  []*stream
	tickets []*stream                 // whose proxy may need a new ticket
	changed map[chat.UserID][]*stream // whose user is perhaps not what it was
}

// serveWatch looks after the streams of one shard's users until ctx ends.
func (s *Server) serveWatch(ctx context.Context, sh *shard) {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		found := sh.streams.watch(s.clock(), s.watching)
		for _, st := range found.slow {
			st.end(errSlow)
		}
		for _, st := range found.unseen {
			sh.cursors.mark(&st.bookmark)
		}
		for _, st := range found.tickets {
			s.renewTicket(st)
		}
		s.readAgain(ctx, found.changed)
	}
}

func (t *streams) watch(now time.Duration, times watchTimes) watched {
	found := watched{changed: make(map[chat.UserID][]*stream)}
	t.each(func(st *stream) {
		st.account.Load().used.Store(int64(now)) // so it stays the one that counts what the user sends
		if !st.account.Load().current() {
			found.changed[st.user] = append(found.changed[st.user], st)
		}
		if st.from.Tickets != nil && now-st.ticketed > times.ticket {
			st.ticketed = now
			found.tickets = append(found.tickets, st)
		}
		switch stuck, unseen := st.look(now); {
		case stuck >= times.slow:
			found.slow = append(found.slow, st)
		case unseen > times.seen:
			found.unseen = append(found.unseen, st)
		}
	})
	return found
}

// look says for how long a window of the stream has been stuck, and for how long the store has not heard of it.
func (st *stream) look(now time.Duration) (stuck, unseen time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.reads {
		return 0, 0
	}
	for i := range st.windows {
		if since := st.windows[i].stuck; since != 0 {
			stuck = max(stuck, now-since)
		}
	}
	return stuck, now - st.seen
}

// readAgain reads users again and ends their streams if they are not what they were, as far as a login is concerned.
func (s *Server) readAgain(ctx context.Context, streams map[chat.UserID][]*stream) {
	type answer struct {
		id   chat.UserID
		user *account
		err  error
	}
	for ids := range slices.Chunk(slices.Collect(maps.Keys(streams)), accountBatch) {
		answers := make(chan answer, len(ids))
		for _, id := range ids {
			if !s.accounts.request(id, func(user *account, err error) { answers <- answer{id, user, err} }) {
				answers <- answer{id, nil, errLoadsBusy}
			}
		}
		for range ids {
			select {
			case a := <-answers:
				if a.err == nil { // else it is tried again, with the next tick
					renew(streams[a.id], a.user)
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// renew gives streams their user as it is now, nil if there is none. Those that logged in with another password are ended.
func renew(streams []*stream, user *account) {
	for _, st := range streams {
		if st.isAnothers(user) {
			st.end(errNotThatUser)
			continue
		}
		st.account.Store(user)
	}
}

// renewTicket gives a stream's proxy a new ticket in time, so that it can take the stream elsewhere at any moment.
func (s *Server) renewTicket(st *stream) {
	user := st.account.Load()
	if s.auth.tickets == nil || s.auth.tickets.check(&user.user, st.from.Ticket) == ticketFresh {
		return
	}
	st.from.Ticket = s.auth.ticketFor(user)
	st.from.Tickets.KeepTicket(st.from.Holder, st.from.Ticket)
}
