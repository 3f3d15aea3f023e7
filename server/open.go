package server

import (
	"context"
	"errors"
	"maps"
	"slices"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// openRequest is a poll that found no device in memory, or one that was away; or a login. Those of one shard's users are
// answered in batches, which share the queries.
type openRequest struct {
	key   deviceKey // of a poll
	back  edge.Pusher
	login *login // nil for a poll
}

const (
	maxOpens  = 8192 // requests that wait for a shard; one more is dropped and counted, or answered busy
	openBatch = 256
)

// open answers a batch. A device's starting points are committed before anything is pushed to it.
func (s *Server) open(ctx context.Context, sh *shard, batch []openRequest) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	polls, logins := sortRequests(batch)
	if !sh.reader.ready() || !s.broadcasts().ready() {
		s.drop("shard_unavailable", len(polls))
		refuseAll(logins, errLoginSilent)
		return
	}
	if sh.reader.silent() { // each batch would wait for as long as it may
		refuseAll(logins, errLoginSilent)
		logins = nil
	}
	polls = distinctDevices(polls)
	if err := sh.cursors.writeUsers(ctx, s.freshUsers(polls, logins)); err != nil {
		s.log.Debug("a new device may be given what another has got", "shard", sh.number, "error", err)
	}
	polled := s.openDevices(ctx, sh, polls)
	streams := s.openStreams(ctx, sh, logins)
	if err := s.searchAll(ctx, sh, polled, streams); err != nil {
		s.log.Debug("what waits could not be found; the next poll tries again", "shard", sh.number, "error", err)
		refuseAll(streams, errLoginSilent.Because(err))
		return
	}
	for _, p := range polled {
		p.device.pass()
		if p.device.waits() {
			s.startPush(p.device, p.back)
		}
	}
	for _, l := range streams {
		l.answer <- nil
		s.deliveries.wake(&l.stream.windows[0])
	}
}

func sortRequests(batch []openRequest) (polls []openRequest, logins []*login) {
	for _, r := range batch {
		if r.login != nil {
			logins = append(logins, r.login)
		} else {
			polls = append(polls, r)
		}
	}
	return polls, logins
}

// openedDevice is a device that polled, and the way its poll came.
type openedDevice struct {
	device *device
	back   edge.Pusher
}

// openDevices takes the devices that have polled into the table.
func (s *Server) openDevices(ctx context.Context, sh *shard, polls []openRequest) (opened []openedDevice) {
	if polls = s.admitted(polls); len(polls) == 0 {
		return nil
	}
	devices := make([]chat.Device, len(polls))
	for i, r := range polls {
		devices[i] = chat.Device{User: r.key.user, ID: r.key.id()}
	}
	cursors, err := s.store.OpenCursors(ctx, sh.number, devices)
	if err != nil {
		s.drop("shard_unavailable", len(polls))
		s.log.Debug("devices could not be opened", "shard", sh.number, "error", err)
		return nil
	}
	for i, r := range polls {
		if cursors[i].User == "" {
			s.drop("auth", 1) // the user was removed a moment ago
			continue
		}
		opened = append(opened, openedDevice{s.openDevice(sh, r.key, cursors[i]), r.back})
	}
	return opened
}

// admitted leaves out the devices for which there is no room. All devices of a user are opened by one goroutine, that
// of the user's shard, so what it counts here is still true when it adds them.
func (s *Server) admitted(batch []openRequest) []openRequest {
	fresh := make(map[chat.UserID]int)
	admitted := batch[:0]
	for _, r := range batch {
		if s.devices.lookup(r.key) == nil {
			if !s.makeRoom(r.key.user, fresh[r.key.user]+1) {
				s.drop("devices_full", 1)
				continue
			}
			fresh[r.key.user]++
		}
		admitted = append(admitted, r)
	}
	return admitted
}

// makeRoom forgets devices that no longer poll until n more of the user's fit, and says whether they do. A script that
// runs one receiver after another would else fill the table.
func (s *Server) makeRoom(user chat.UserID, n int) bool {
	for !s.devices.room(user, n) {
		d := s.devices.evict(user, s.clock())
		if d == nil {
			return false
		}
		s.forgotten(d)
	}
	return true
}

// freshUsers are the users of devices that are not in memory, and of those that log in. Each such device may be new, and
// then begins where the most advanced of the user's others is: so the store has to know first how far these are. And one
// that logs in again begins where the stream before it is.
func (s *Server) freshUsers(polls []openRequest, logins []*login) map[chat.UserID]bool {
	users := make(map[chat.UserID]bool)
	for _, r := range polls {
		if s.devices.lookup(r.key) == nil {
			users[r.key.user] = true
		}
	}
	for _, l := range logins {
		users[l.stream.user] = true
	}
	return users
}

func distinctDevices(batch []openRequest) []openRequest {
	seen := make(map[deviceKey]bool, len(batch))
	distinct := batch[:0]
	for _, r := range batch {
		if !seen[r.key] {
			seen[r.key] = true
			distinct = append(distinct, r)
		}
	}
	return distinct
}

// openDevice puts a device into the table, at the store's cursor, or tells the one that is there what the store knows.
func (s *Server) openDevice(sh *shard, key deviceKey, cursor chat.Cursor) *device {
	d := s.devices.lookup(key)
	if d == nil {
		d = newDevice(key, sh.number)
		d.inbox.box = sh.reader.join(key.user.Mailbox())
		d.broadcast.box = s.broadcasts().join(chat.Everyone)
		if known := s.devices.add(d); known != d {
			s.leave(&d.bookmark)
			d = known
		} else {
			s.log.Debug("a device polls", "client", key.client, "port", key.port, "user", key.user)
		}
	}
	now := s.clock()
	d.returned(cursor, now)
	d.polled.Store(int64(now))
	return d
}

// searchAll learns whether anything waits for those that were opened.
func (s *Server) searchAll(ctx context.Context, sh *shard, polled []openedDevice, streams []*login) error {
	var inboxes, broadcasts []*mailbox
	add := func(b *bookmark) {
		inboxes, broadcasts = append(inboxes, b.inbox.box), append(broadcasts, b.broadcast.box)
	}
	for _, p := range polled {
		add(&p.device.bookmark)
	}
	for _, l := range streams {
		add(&l.stream.bookmark)
	}
	return errors.Join(s.search(ctx, sh.number, inboxes), s.search(ctx, s.broadcasts().shard, broadcasts))
}

// search learns whether anything waits in those of a shard's mailboxes where nobody has looked yet. It asks after they
// were joined, so that whatever it does not see comes by the reader. Everyone has been searched by its reader already,
// unless it has moved since then.
func (s *Server) search(ctx context.Context, shard chat.ShardNumber, boxes []*mailbox) error {
	unsearched := make(map[chat.Mailbox]*mailbox)
	for _, box := range boxes {
		if !box.searched.Load() {
			unsearched[box.name] = box
		}
	}
	if len(unsearched) == 0 {
		return nil
	}
	newest, err := s.store.Newest(ctx, shard, slices.Collect(maps.Keys(unsearched)))
	if err != nil {
		return err
	}
	for name, box := range unsearched {
		box.raiseNewest(newest[name])
		box.searched.Store(true)
	}
	return nil
}
