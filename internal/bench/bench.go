package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/checker"
)

// Config says who sends what for how long.
type Config struct {
	Proxies  []client.Address
	TLS      *tls.Config // for proxies with TLS; nil: the system's authorities
	Users    []chat.UserID
	Password chat.Secret // of all of them

	Duration  time.Duration // of sending
	Rate      int           // messages a second of all users; 0: as many as are answered
	Window    int           // unanswered messages of a user, at most
	Size      int           // bytes of a text; at least MinSize
	Broadcast int           // percent of the messages that go to everyone, and so to all users of the cluster

	Check    bool           // have the checker judge what the clients saw; it remembers every message
	Progress func(Progress) // is called every second of the sending; nil: nobody wants to know
}

const (
	// MinSize is the shortest text: it says who sent it when.
	MinSize = 64

	// Device is the name under which users of a run read. It is one, so that many runs leave one device behind.
	Device chat.DeviceID = "bench"

	connectTime = 30 * time.Second // for all users to be connected
	settleTime  = 15 * time.Second // after the sending, for the last answers and deliveries
	hurriedTime = 2 * time.Second  // the same when ctx has ended

	// What the client has room for; see [client.ErrOutboxFull].
	maxWindow      = 1024
	maxWindowBytes = 1 << 20
	frameRoom      = 256 // bytes of a message beside its text
)

// Progress is how a run fares.
type Progress struct {
	Elapsed                  time.Duration
	Stored, Failed, Received int64
}

// run is a run under way.
type run struct {
	cfg     Config
	name    string // begins all texts of the run, which tells them from others' and those of other runs
	begun   time.Time
	sending Progress // as it was when nothing new was sent any more
	users   []*user

	sent, stored, failed, received, expected atomic.Int64

	mu       sync.Mutex
	acks     *latencies
	arrivals *latencies
	errs     map[chat.Code]int64 // of messages that were not stored
	retries  map[chat.Code]int64 // answers after which the client sends a message again, by itself
	lost     map[chat.Code]int64 // connections
	checker  *checker.Checker    // nil: nothing is judged
}

// Run does a run, and returns when everything is answered and delivered, or has had its time. When ctx ends while it sends, it
// is reported as far as it came. The error is that of a user who could not connect, or was thrown out.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	r := &run{cfg: cfg, name: newName(), acks: newLatencies(), arrivals: newLatencies(),
		errs: make(map[chat.Code]int64), retries: make(map[chat.Code]int64),
		lost: make(map[chat.Code]int64)}
	if cfg.Check {
		r.checker = checker.New()
	}
	for i := range cfg.Users {
		u, err := r.newUser(i)
		if err != nil {
			return Report{}, err
		}
		r.users = append(r.users, u)
	}
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer stop(nil) // before the wait
	for _, u := range r.users {
		group.Go(func() {
			if err := u.stream.Serve(serving); err != nil && serving.Err() == nil {
				stop(fmt.Errorf("user %s: %w", u.id, err))
			}
		})
	}
	if err := r.connect(ctx, serving); err != nil {
		return Report{}, err
	}
	r.send(ctx, serving)
	r.settle(ctx, serving)
	if serving.Err() != nil {
		return Report{}, context.Cause(serving)
	}
	return r.report(), nil
}

// Validate says what is wrong with a configuration.
func (c *Config) Validate() error {
	switch {
	case len(c.Users) < 2:
		return errors.New("a run needs two users at least: a message to oneself shows little")
	case len(slices.Compact(slices.Sorted(slices.Values(c.Users)))) < len(c.Users):
		return errors.New("a user is named twice")
	case c.Size < MinSize || c.Size > chat.MaxText:
		return fmt.Errorf("a text of %d bytes is not between %d and %d", c.Size, MinSize, chat.MaxText)
	case c.Window < 1 || c.Window > maxWindow:
		return fmt.Errorf("a window of %d messages is not between 1 and %d", c.Window, maxWindow)
	case c.Window*(c.Size+frameRoom) > maxWindowBytes:
		return fmt.Errorf("a window of %d messages of %d bytes is more than a stream has room for: make either smaller", c.Window, c.Size)
	case c.Broadcast < 0 || c.Broadcast > 100:
		return fmt.Errorf("%d percent of broadcasts is not between 0 and 100", c.Broadcast)
	case c.Duration <= 0 || c.Rate < 0:
		return errors.New("the time is to be above 0, and the rate not below")
	}
	return nil
}

// connect waits until all users are connected: nothing that is sent from then on may miss one of them.
func (r *run) connect(ctx, serving context.Context) error {
	timeout := time.NewTimer(connectTime)
	defer timeout.Stop()
	for _, u := range r.users {
		select {
		case <-u.connected:
			r.add(checker.Record{Kind: checker.Device, Client: string(u.id), User: u.id, Version: 2, Resends: true})
		case <-serving.Done():
			return context.Cause(serving)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout.C:
			return fmt.Errorf("user %s: not connected within %v", u.id, connectTime)
		}
	}
	return nil
}

// send has all users send.
func (r *run) send(ctx, serving context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Duration)
	defer cancel()
	defer context.AfterFunc(serving, cancel)()
	r.begun = time.Now()
	var group sync.WaitGroup
	for _, u := range r.users {
		group.Go(func() { u.send(ctx) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			if r.cfg.Progress != nil {
				r.cfg.Progress(r.progress())
			}
		}
	}
	r.sending = r.progress()
	group.Wait()
}

func (r *run) progress() Progress {
	return Progress{time.Since(r.begun), r.stored.Load(), r.failed.Load(), r.received.Load()}
}

// settle waits for the last answers and deliveries, and not as long for whoever has ended ctx.
func (r *run) settle(ctx, serving context.Context) {
	patience, cancel := context.WithTimeout(serving, settleTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(hurriedTime, cancel) })()
	for _, u := range r.users {
		u.stream.Flush(patience)
	}
	for patience.Err() == nil && r.received.Load() < r.expected.Load() {
		time.Sleep(10 * time.Millisecond)
	}
}

// add has the checker see a record.
func (r *run) add(record checker.Record) {
	if r.checker == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	record.At = max(0, time.Since(r.begun))
	if r.begun.IsZero() {
		record.At = 0
	}
	r.checker.Add(record)
}
