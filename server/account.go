package server

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// account is a user as this server knows it from the user's shard.
type account struct {
	user     chat.User
	loader   *accountLoader // of the user's shard
	revision atomic.Int64   // the loader's, when the user was read last

	verified atomic.Pointer[tag]    // of the password that was found right
	refused  atomic.Pointer[tag]    // of the password that was found wrong last
	ticket   atomic.Pointer[issued] // the last that was made for the user here
	used     atomic.Int64           // when the account was last looked up, as Server.clock
	sends    *bucket                // what the user may still send; it outlives the account, see remember
}

// current says that no user of the shard has changed since this one was read.
func (a *account) current() bool { return a.revision.Load() == a.loader.revision.Load() }

// accounts remembers users, so that a poll costs no query. When a shard says that one of its users has changed, all of
// them are read again before they are used; those that are as they were keep the password that they remember, so that a
// new user does not cost a hash for every other one. What was not used for a while is forgotten.
type accounts struct {
	store   Store
	stripes [64]accountStripe
	seed    maphash.Seed
	loads   map[chat.ShardNumber]*accountLoader
}

type accountStripe struct {
	mu   sync.RWMutex
	byID map[chat.UserID]*account
}

// accountLoader reads the users of one shard, many in a query.
type accountLoader struct {
	shard    chat.ShardNumber
	requests *batcher[accountRequest]
	revision atomic.Int64 // counts the changes of the shard's users: what was read before one is not current after it
}

// accountRequest asks for a user. done is called once, soon, from the loader's goroutine: it must not block. Both its
// arguments are nil for a user that does not exist.
type accountRequest struct {
	id   chat.UserID
	done func(*account, error)
}

const (
	maxAccountLoads = 8192            // requests that wait for a shard's loader; one more is refused as busy
	accountBatch    = 256             // users in one query
	accountIdle     = 5 * time.Minute // then an account that nobody used is forgotten
)

var errLoadsBusy = chat.Errorf(chat.CodeBusy, "too many users are being looked up; try again")

func newAccounts(store Store) *accounts {
	a := &accounts{store: store, seed: maphash.MakeSeed(), loads: make(map[chat.ShardNumber]*accountLoader)}
	for i := range a.stripes {
		a.stripes[i].byID = make(map[chat.UserID]*account)
	}
	for _, shard := range store.Shards() {
		a.loads[shard] = &accountLoader{shard: shard, requests: newBatcher[accountRequest](maxAccountLoads, accountBatch)}
	}
	return a
}

// lookup finds a user in memory; nil means that nothing current is known. It does not allocate.
func (a *accounts) lookup(id []byte, now time.Duration) *account {
	s := &a.stripes[maphash.Bytes(a.seed, id)%uint64(len(a.stripes))]
	s.mu.RLock()
	found := s.byID[chat.UserID(id)]
	s.mu.RUnlock()
	if found == nil || !found.current() {
		return nil
	}
	found.used.Store(int64(now))
	return found
}

// request asks the store for a user and calls done later, or reports false when too many wait.
func (a *accounts) request(id chat.UserID, done func(*account, error)) bool {
	loader := a.loads[a.store.Locate(id.Mailbox())]
	return loader.requests.offer(accountRequest{id, done})
}

// load finds a user in memory or in the store; nil without an error is a user that does not exist.
func (a *accounts) load(ctx context.Context, id chat.UserID, now time.Duration) (*account, error) {
	if found := a.lookup([]byte(id), now); found != nil {
		return found, nil
	}
	type answer struct {
		account *account
		err     error
	}
	answers := make(chan answer, 1)
	if !a.request(id, func(found *account, err error) { answers <- answer{found, err} }) {
		return nil, errLoadsBusy
	}
	select {
	case got := <-answers:
		return got.account, got.err
	case <-ctx.Done():
		return nil, chat.Errorf(chat.CodeUnavail, "the shard of user %s did not answer in time; nothing was stored", id)
	}
}

// serve answers the requests for the users of one shard until ctx ends.
func (a *accounts) serve(ctx context.Context, shard chat.ShardNumber, clock func() time.Duration) {
	loader := a.loads[shard]
	loader.requests.run(ctx, func(ctx context.Context, batch []accountRequest) {
		revision := loader.revision.Load()
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		users, err := a.store.Users(ctx, shard, distinctIDs(batch))
		if err != nil {
			for _, r := range batch {
				r.done(nil, err)
			}
			return
		}
		found := make(map[chat.UserID]*account, len(users))
		for _, u := range users {
			found[u.ID] = a.remember(u, loader, revision, clock())
		}
		for _, r := range batch {
			r.done(found[r.id], nil)
		}
	})
}

func distinctIDs(batch []accountRequest) []chat.UserID {
	seen := make(map[chat.UserID]bool, len(batch))
	ids := make([]chat.UserID, 0, len(batch))
	for _, r := range batch {
		if !seen[r.id] {
			seen[r.id] = true
			ids = append(ids, r.id)
		}
	}
	return ids
}

// remember keeps a user as it was read while the loader had this revision, and returns the account that is known from
// now on: the old one, with the password that it remembers, if the user is the same.
func (a *accounts) remember(u chat.User, loader *accountLoader, revision int64, now time.Duration) *account {
	s := &a.stripes[maphash.Bytes(a.seed, []byte(u.ID))%uint64(len(a.stripes))]
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.byID[u.ID]
	if known == nil || known.user != u || known.loader != loader {
		sends := new(bucket)
		if known != nil {
			sends = known.sends // a new password is no new allowance
		}
		known = &account{user: u, loader: loader, sends: sends}
		s.byID[u.ID] = known
	}
	known.revision.Store(revision)
	known.used.Store(int64(now))
	return known
}

// changed says that some user of a shard is not what it was.
func (a *accounts) changed(shard chat.ShardNumber) { a.loads[shard].revision.Add(1) }

// sweep forgets the users that nobody asked for in a while.
func (a *accounts) sweep(now time.Duration) {
	for i := range a.stripes {
		s := &a.stripes[i]
		s.mu.Lock()
		for id, known := range s.byID {
			if now-time.Duration(known.used.Load()) > accountIdle {
				delete(s.byID, id)
			}
		}
		s.mu.Unlock()
	}
}
