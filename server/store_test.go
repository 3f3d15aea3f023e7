package server_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/shardstore"
)

// watchedStore is a real store whose calls are counted, and can be delayed or made to fail.
type watchedStore struct {
	*shardstore.Store

	mu     sync.Mutex
	counts map[string]int
	hooks  map[string]hook
	hung   map[call]chan struct{} // closed when such calls go on
}

// call is a method and the shard that it asks.
type call struct {
	method string
	shard  chat.ShardNumber
}

// hook runs in the place of a call. do makes the call.
type hook func(ctx context.Context, do func() error) error

func watch(store *shardstore.Store) *watchedStore {
	return &watchedStore{Store: store, counts: make(map[string]int), hooks: make(map[string]hook),
		hung: make(map[call]chan struct{})}
}

// on puts a hook around the calls of one method from now on; nil takes it away.
func (w *watchedStore) on(method string, h hook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks[method] = h
}

// hold keeps all calls of a method from beginning until release is called. It returns when the first is held.
func (w *watchedStore) hold(t *testing.T, method string) (release func()) {
	t.Helper()
	held := w.prepareHold(t, method)
	<-held.first
	return held.release
}

type heldCalls struct {
	first   chan struct{} // closed when a call is held
	release func()
}

func (w *watchedStore) prepareHold(t testing.TB, method string) heldCalls {
	first, open := make(chan struct{}), make(chan struct{})
	var once, opened sync.Once
	w.on(method, func(ctx context.Context, do func() error) error {
		once.Do(func() { close(first) })
		select {
		case <-open:
		case <-ctx.Done():
		}
		return do()
	})
	release := func() {
		w.on(method, nil)
		opened.Do(func() { close(open) })
	}
	t.Cleanup(release)
	return heldCalls{first, release}
}

// hang lets a shard answer no calls of these methods until release is called: they wait, and fail when their context
// ends.
func (w *watchedStore) hang(t testing.TB, shard chat.ShardNumber, methods ...string) (release func()) {
	open := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, method := range methods {
		w.hung[call{method, shard}] = open
	}
	release = sync.OnceFunc(func() { close(open) })
	t.Cleanup(release)
	return release
}

// count is how often a method was called; it is counted when the call begins.
func (w *watchedStore) count(method string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[method]
}

// countAll is how often any method was called.
func (w *watchedStore) countAll() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, count := range w.counts {
		n += count
	}
	return n
}

func (w *watchedStore) run(ctx context.Context, method string, shard chat.ShardNumber, do func() error) error {
	w.mu.Lock()
	w.counts[method]++
	h, hung := w.hooks[method], w.hung[call{method, shard}]
	w.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-ctx.Done():
			return chat.Errorf(chat.CodeUnavail, "the shard does not answer").Because(ctx.Err())
		}
	}
	if h == nil {
		return do()
	}
	return h(ctx, do)
}

func (w *watchedStore) Append(
	ctx context.Context, shard chat.ShardNumber, batch []chat.Submission,
) (stored []chat.Stored, err error) {
	err = w.run(ctx, "Append", shard, func() (err error) {
		stored, err = w.Store.Append(ctx, shard, batch)
		return err
	})
	return stored, err
}

func (w *watchedStore) Arrivals(
	ctx context.Context, shard chat.ShardNumber, after chat.Seq, seen chat.Head, limit int,
) (head chat.Head, arrivals []chat.Arrival, err error) {
	err = w.run(ctx, "Arrivals", shard, func() (err error) {
		head, arrivals, err = w.Store.Arrivals(ctx, shard, after, seen, limit)
		return err
	})
	return head, arrivals, err
}

func (w *watchedStore) Bodies(
	ctx context.Context, shard chat.ShardNumber, seqs []chat.Seq,
) (messages []chat.Message, err error) {
	err = w.run(ctx, "Bodies", shard, func() (err error) {
		messages, err = w.Store.Bodies(ctx, shard, seqs)
		return err
	})
	return messages, err
}

func (w *watchedStore) Page(
	ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int,
) (messages []chat.Message, err error) {
	err = w.run(ctx, "Page", w.Locate(m), func() (err error) {
		messages, err = w.Store.Page(ctx, m, after, upTo, limit, maxBytes)
		return err
	})
	return messages, err
}

func (w *watchedStore) Newest(
	ctx context.Context, shard chat.ShardNumber, mailboxes []chat.Mailbox,
) (newest map[chat.Mailbox]chat.Seq, err error) {
	err = w.run(ctx, "Newest", shard, func() (err error) {
		newest, err = w.Store.Newest(ctx, shard, mailboxes)
		return err
	})
	return newest, err
}

func (w *watchedStore) Users(
	ctx context.Context, shard chat.ShardNumber, ids []chat.UserID,
) (users []chat.User, err error) {
	err = w.run(ctx, "Users", shard, func() (err error) {
		users, err = w.Store.Users(ctx, shard, ids)
		return err
	})
	return users, err
}

func (w *watchedStore) OpenCursors(
	ctx context.Context, shard chat.ShardNumber, devices []chat.Device,
) (cursors []chat.Cursor, err error) {
	err = w.run(ctx, "OpenCursors", shard, func() (err error) {
		cursors, err = w.Store.OpenCursors(ctx, shard, devices)
		return err
	})
	return cursors, err
}

func (w *watchedStore) LoginDevices(
	ctx context.Context, shard chat.ShardNumber, logins []chat.Login,
) (cursors []chat.Cursor, err error) {
	err = w.run(ctx, "LoginDevices", shard, func() (err error) {
		cursors, err = w.Store.LoginDevices(ctx, shard, logins)
		return err
	})
	return cursors, err
}

func (w *watchedStore) RaiseCursors(
	ctx context.Context, shard chat.ShardNumber, cursors []chat.Cursor,
) (outdated []chat.Device, err error) {
	err = w.run(ctx, "RaiseCursors", shard, func() (err error) {
		outdated, err = w.Store.RaiseCursors(ctx, shard, cursors)
		return err
	})
	return outdated, err
}

func (w *watchedStore) Prune(
	ctx context.Context, shard chat.ShardNumber, before time.Time, limit int,
) (deleted int, err error) {
	err = w.run(ctx, "Prune", shard, func() (err error) {
		deleted, err = w.Store.Prune(ctx, shard, before, limit)
		return err
	})
	return deleted, err
}

func (w *watchedStore) ForgetDevices(
	ctx context.Context, shard chat.ShardNumber, before time.Time, limit int,
) (deleted int, err error) {
	err = w.run(ctx, "ForgetDevices", shard, func() (err error) {
		deleted, err = w.Store.ForgetDevices(ctx, shard, before, limit)
		return err
	})
	return deleted, err
}
