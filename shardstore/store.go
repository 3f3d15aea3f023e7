package shardstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// Store is all shards of a cluster as one. It knows which shard serves which mailbox, and keeps that map current: a call
// that a shard's fence stops, and an arrival read that sees a newer map, read it again.
//
// Its methods may be called from many goroutines. Where they take a shard's number it must be one of Shards. Their errors
// are [*chat.Error], unavail when nothing was stored and unknown when nobody knows; [chat.ErrMoved] when the shard
// does not serve what it was asked to write, and the map has been read again since; and the sentinels they name.
type Store struct {
	members  []*member // ascending by number
	byNumber map[chat.ShardNumber]*member

	reading sync.Mutex // one reading of the map at a time
	current atomic.Pointer[placement]
}

// Close closes all shards, each after the write under way on it. It waits for up to a second per shard for that, and then
// leaves the write's connection open and returns an error.
func (s *Store) Close() error { return closeAll(s.members) }

// Shards are the numbers of all shards, ascending.
func (s *Store) Shards() []chat.ShardNumber {
	numbers := make([]chat.ShardNumber, len(s.members))
	for i, m := range s.members {
		numbers[i] = m.id.Number
	}
	return numbers
}

// Name is what a shard was called when it was opened.
func (s *Store) Name(shard chat.ShardNumber) string { return s.member(shard).name }

// Clock is how far the clock of a shard's database server is ahead of this machine's. Its error is a sentence.
func (s *Store) Clock(ctx context.Context, shard chat.ShardNumber) (time.Duration, error) {
	return s.member(shard).shard.clock(ctx)
}

// Locate is the shard of a mailbox. A user's row and cursors are on the shard of the user's mailbox.
func (s *Store) Locate(m chat.Mailbox) chat.ShardNumber { return s.current.Load().locate(m).id.Number }

// ReadMap asks all shards again what they serve. If one does not answer, or they do not fit together, the map that was
// known stays.
func (s *Store) ReadMap(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.readMapLocked(ctx)
}

func (s *Store) readMapLocked(ctx context.Context) error {
	p, err := readPlacement(ctx, s.members[0].id.Layout, s.members)
	if err == nil {
		s.current.Store(p)
	}
	return err
}

// Append commits a batch, in order, and answers each submission in its place: its seq, or why it alone was refused. No
// two of a batch have the same sender, id and mailbox. One that was stored before has the seq of then; a batch of such
// alone writes nothing. An error means that none is known to be stored.
func (s *Store) Append(
	ctx context.Context, shard chat.ShardNumber, batch []chat.Submission,
) (stored []chat.Stored, err error) {
	p := s.current.Load()
	for i := range batch {
		if p.locate(batch[i].To).id.Number != shard {
			return nil, chat.ErrMoved
		}
	}
	err = s.fenced(ctx, p, shard, func(m *member, fence Fence) error {
		stored, err = m.shard.Append(ctx, fence, batch)
		return err
	})
	return stored, err
}

// Arrivals reads the shard's head and then up to limit arrivals above after, ascending. It leaves the second step out
// when the head is still seen: so seen is the head up to which the caller has read everything, or zero.
func (s *Store) Arrivals(
	ctx context.Context, shard chat.ShardNumber, after chat.Seq, seen chat.Head, limit int,
) (chat.Head, []chat.Arrival, error) {
	head, arrivals, err := s.member(shard).shard.Arrivals(ctx, after, seen, limit)
	if err == nil && head.MapEpoch != s.current.Load().epochs[shard] {
		err = s.catchUp(ctx, shard, head.MapEpoch)
	}
	return head, arrivals, err
}

// Bodies reads whole messages by their seqs, ascending. One that is gone is left out.
func (s *Store) Bodies(ctx context.Context, shard chat.ShardNumber, seqs []chat.Seq) ([]chat.Message, error) {
	return s.member(shard).shard.Bodies(ctx, seqs)
}

// Page reads the oldest messages of a mailbox in (after, upTo], at most limit. It ends with the one that brings the
// texts to maxBytes or beyond, so there is at least one if one is there.
func (s *Store) Page(
	ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int,
) ([]chat.Message, error) {
	return s.current.Load().locate(m).shard.Page(ctx, m, after, upTo, limit, maxBytes)
}

// Newest is the seq of the newest message of each mailbox that has one. All are mailboxes of this shard.
func (s *Store) Newest(
	ctx context.Context, shard chat.ShardNumber, mailboxes []chat.Mailbox,
) (map[chat.Mailbox]chat.Seq, error) {
	return s.member(shard).shard.Newest(ctx, mailboxes)
}

// minKept is the least time that messages and devices are kept: a message is also what a retry of it is known by.
const minKept = 24 * time.Hour

// Prune deletes messages sent before then, at most limit in one short transaction, beginning with the oldest; call it
// until it deletes none. It refuses to delete what is less than a day old.
func (s *Store) Prune(ctx context.Context, shard chat.ShardNumber, before time.Time, limit int) (deleted int, err error) {
	if err := checkAge(before); err != nil {
		return 0, err
	}
	return s.member(shard).shard.Prune(ctx, before, limit)
}

// ForgetDevices deletes the cursors of devices that were not seen since then, at most limit in one transaction; call it
// until it deletes none. It refuses to forget what was seen within a day.
func (s *Store) ForgetDevices(
	ctx context.Context, shard chat.ShardNumber, before time.Time, limit int,
) (deleted int, err error) {
	if err := checkAge(before); err != nil {
		return 0, err
	}
	return s.member(shard).shard.ForgetDevices(ctx, before, limit)
}

func checkAge(before time.Time) error {
	if faults.Now().Sub(before) < minKept {
		return fmt.Errorf("deleting what is older than %s: messages and devices are kept for a day at least; give an earlier time",
			before.Format(time.RFC3339))
	}
	return nil
}

// Users reads those of the users that exist, in no order. All are users of this shard.
func (s *Store) Users(ctx context.Context, shard chat.ShardNumber, ids []chat.UserID) ([]chat.User, error) {
	return s.member(shard).shard.Users(ctx, ids)
}

// AddUser makes a user, or returns [ErrUserExists]. It sets u.BroadcastFrom itself: the newest seq of the shard of
// [chat.Everyone], read before the user is there.
func (s *Store) AddUser(ctx context.Context, u chat.User) error {
	head, err := s.current.Load().locate(chat.Everyone).shard.Head(ctx)
	if err != nil {
		return err
	}
	u.BroadcastFrom = head.Newest
	return s.changeUser(ctx, u.ID, func(m *member, fence Fence) error {
		return m.shard.AddUser(ctx, fence, u)
	})
}

// SetPassword replaces a user's hash, or returns [ErrNoUser].
func (s *Store) SetPassword(ctx context.Context, id chat.UserID, hash string) error {
	return s.changeUser(ctx, id, func(m *member, fence Fence) error {
		return m.shard.SetPassword(ctx, fence, id, hash)
	})
}

// RemoveUser removes a user and what is known of the user's devices, or returns [ErrNoUser]. Messages stay until their
// time comes; a later user of the same name does not get them.
func (s *Store) RemoveUser(ctx context.Context, id chat.UserID) error {
	return s.changeUser(ctx, id, func(m *member, fence Fence) error {
		return m.shard.RemoveUser(ctx, fence, id)
	})
}

// ListUsers reads all users of all shards, by id.
func (s *Store) ListUsers(ctx context.Context) ([]chat.User, error) {
	const page = 1000
	var all []chat.User
	for _, m := range s.members {
		for after := chat.UserID(""); ; {
			users, err := m.shard.ListUsers(ctx, after, page)
			if err != nil {
				return nil, err
			}
			all = append(all, users...)
			if len(users) < page {
				break
			}
			after = users[len(users)-1].ID
		}
	}
	slices.SortFunc(all, func(a, b chat.User) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return all, nil
}

// OpenCursors reads the cursor of each device, in order, and makes those that are missing. A user's first device starts
// where the user does: with all mail since the user was made, and broadcasts above BroadcastFrom. A further one starts
// where the most advanced of the others is; beyond [chat.MaxDevices] the one unseen longest is forgotten. What it returns
// is committed. All devices belong to users of this shard; a device whose user does not exist has a zero Cursor.
func (s *Store) OpenCursors(
	ctx context.Context, shard chat.ShardNumber, devices []chat.Device,
) (cursors []chat.Cursor, err error) {
	p := s.current.Load()
	for _, d := range devices {
		if p.locate(d.User.Mailbox()).id.Number != shard {
			return nil, chat.ErrMoved
		}
	}
	err = s.fenced(ctx, p, shard, func(m *member, fence Fence) error {
		cursors, err = m.shard.OpenCursors(ctx, fence, devices)
		return err
	})
	return cursors, err
}

// LoginDevices begins the next session of each device, see [chat.NextSession], in order, and says that the device was seen
// now. Missing cursors are made as by OpenCursors, and what it returns is committed: the cursor as it is from the session's
// beginning on, since nothing is raised under an older one from then on. No two logins get the same session.
//
// A login that takes over begins a session only if the device's session is of its own stream, or if its cursor is gone.
// Else nothing is changed, and the session of the cursor returned is the other stream's: see [chat.Login.Has].
//
// After an error some sessions may have begun that nobody has. That is harmless: who had a device finds out by its next
// raise, and the next login begins another session. So an outcome that is not known is unavail, too.
func (s *Store) LoginDevices(
	ctx context.Context, shard chat.ShardNumber, logins []chat.Login,
) (cursors []chat.Cursor, err error) {
	p := s.current.Load()
	for _, l := range logins {
		if p.locate(l.User.Mailbox()).id.Number != shard {
			return nil, chat.ErrMoved
		}
	}
	err = s.fenced(ctx, p, shard, func(m *member, fence Fence) error {
		cursors, err = m.shard.LoginDevices(ctx, fence, logins)
		return err
	})
	if e, ok := errors.AsType[*chat.Error](err); ok && e.Code == chat.CodeUnknown {
		err = chat.Errorf(chat.CodeUnavail, "shard %s does not answer; nobody was logged in, log in again later", s.Name(shard)).
			Because(err)
	}
	return cursors, err
}

// RaiseCursors stores how far devices have come, and that they were seen at c.Seen, or now if that is zero. Neither ever
// goes back. A cursor that is gone is passed over, as is one whose Session is not the row's: another login has the device.
//
// outdated are the devices with a Session that has ended, in the order of cursors, once each: the row has another one by
// now, or is gone, pushed out by a user's 33rd device, or by [Store.ForgetDevices], or with its user. Nothing was raised for
// them, or the session ended right after the raise. A device without a Session is never outdated.
func (s *Store) RaiseCursors(
	ctx context.Context, shard chat.ShardNumber, cursors []chat.Cursor,
) (outdated []chat.Device, err error) {
	return s.member(shard).shard.RaiseCursors(ctx, cursors)
}

// member is the shard with this number. Asking for another one is a fault in the program.
func (s *Store) member(shard chat.ShardNumber) *member {
	m, ok := s.byNumber[shard]
	if !ok {
		panic(fmt.Sprintf("shardstore: there is no shard number %d", shard))
	}
	return m
}

func (s *Store) changeUser(ctx context.Context, id chat.UserID, change func(*member, Fence) error) error {
	p := s.current.Load()
	return s.fenced(ctx, p, p.locate(id.Mailbox()).id.Number, change)
}

// fenced runs a write to the shard that its mailboxes have under p. It must be the same p that says so: the epoch of a
// newer map would let a write for a mailbox pass that the shard has just given away. If the map has changed, fenced reads
// the new one and reports that the mailbox has moved.
func (s *Store) fenced(
	ctx context.Context, p *placement, shard chat.ShardNumber, write func(*member, Fence) error,
) error {
	fence := p.fence(shard)
	err := write(s.member(shard), fence)
	if !errors.Is(err, ErrFenced) {
		return err
	}
	if err := s.catchUp(ctx, shard, fence.Epoch+1); err != nil {
		return err
	}
	return chat.ErrMoved
}

// catchUp reads the map again, unless somebody has since the caller saw that this shard has reached an epoch.
func (s *Store) catchUp(ctx context.Context, shard chat.ShardNumber, epoch int64) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.current.Load().epochs[shard] >= epoch {
		return nil
	}
	if err := s.readMapLocked(ctx); err != nil {
		return chat.Errorf(chat.CodeUnavail,
			"it is not known which shard serves what; nothing was stored, send again later").Because(err)
	}
	return nil
}
