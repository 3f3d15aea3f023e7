package server_test

import (
	"context"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/shardstore"
)

// watchedStore is a real store whose calls are counted, and can be delayed or made to fail.
type watchedStore struct {
	*shardstore.Store

	mu     sync.Mutex
	counts map[string]int
	hooks  map[string]hook
}

// hook runs in the place of a call. do makes the call.
type hook func(ctx context.Context, do func() error) error

func watch(store *shardstore.Store) *watchedStore {
	return &watchedStore{Store: store, counts: make(map[string]int), hooks: make(map[string]hook)}
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

func (w *watchedStore) prepareHold(t *testing.T, method string) heldCalls {
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

// count is how often a method was called; it is counted when the call begins.
func (w *watchedStore) count(method string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[method]
}

func (w *watchedStore) run(ctx context.Context, method string, do func() error) error {
	w.mu.Lock()
	w.counts[method]++
	h := w.hooks[method]
	w.mu.Unlock()
	if h == nil {
		return do()
	}
	return h(ctx, do)
}

func (w *watchedStore) Append(
	ctx context.Context, shard chat.ShardNumber, batch []chat.Submission,
) (stored []chat.Stored, err error) {
	err = w.run(ctx, "Append", func() (err error) {
		stored, err = w.Store.Append(ctx, shard, batch)
		return err
	})
	return stored, err
}

func (w *watchedStore) Arrivals(
	ctx context.Context, shard chat.ShardNumber, after chat.Seq, seen chat.Head, limit int,
) (head chat.Head, arrivals []chat.Arrival, err error) {
	err = w.run(ctx, "Arrivals", func() (err error) {
		head, arrivals, err = w.Store.Arrivals(ctx, shard, after, seen, limit)
		return err
	})
	return head, arrivals, err
}

func (w *watchedStore) Bodies(
	ctx context.Context, shard chat.ShardNumber, seqs []chat.Seq,
) (messages []chat.Message, err error) {
	err = w.run(ctx, "Bodies", func() (err error) {
		messages, err = w.Store.Bodies(ctx, shard, seqs)
		return err
	})
	return messages, err
}

func (w *watchedStore) Page(
	ctx context.Context, m chat.Mailbox, after, upTo chat.Seq, limit, maxBytes int,
) (messages []chat.Message, err error) {
	err = w.run(ctx, "Page", func() (err error) {
		messages, err = w.Store.Page(ctx, m, after, upTo, limit, maxBytes)
		return err
	})
	return messages, err
}

func (w *watchedStore) Newest(
	ctx context.Context, shard chat.ShardNumber, mailboxes []chat.Mailbox,
) (newest map[chat.Mailbox]chat.Seq, err error) {
	err = w.run(ctx, "Newest", func() (err error) {
		newest, err = w.Store.Newest(ctx, shard, mailboxes)
		return err
	})
	return newest, err
}

func (w *watchedStore) Users(
	ctx context.Context, shard chat.ShardNumber, ids []chat.UserID,
) (users []chat.User, err error) {
	err = w.run(ctx, "Users", func() (err error) {
		users, err = w.Store.Users(ctx, shard, ids)
		return err
	})
	return users, err
}

func (w *watchedStore) OpenCursors(
	ctx context.Context, shard chat.ShardNumber, devices []chat.Device,
) (cursors []chat.Cursor, err error) {
	err = w.run(ctx, "OpenCursors", func() (err error) {
		cursors, err = w.Store.OpenCursors(ctx, shard, devices)
		return err
	})
	return cursors, err
}

func (w *watchedStore) RaiseCursors(ctx context.Context, shard chat.ShardNumber, cursors []chat.Cursor) error {
	return w.run(ctx, "RaiseCursors", func() error { return w.Store.RaiseCursors(ctx, shard, cursors) })
}
