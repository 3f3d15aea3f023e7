package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// reader follows one shard. All of a shard's messages pass through its one position, in seq order; what is above the
// position does not exist for any device here, and what is at or below it is in a mailbox's tail or in the store. So no
// device can be given a message before one that was committed earlier, whichever server committed the two: that is what
// makes an acknowledged seq mean everything below it.
//
// A commit that cannot be taken from memory wakes the reader, if it was elsewhere or somebody here reads what it stored. The
// reader looks by itself when it has not for a readerTick. What has come to a mailbox wakes the streams that read it.
type reader struct {
	shard chat.ShardNumber
	store Store
	log   *slog.Logger
	clock func() time.Duration
	wake  chan struct{} // one slot: a wake while one waits is the same wake

	onUsersChanged func()           // called when a user of this shard has changed
	wakeStreams    func(...*window) // called, without the reader's lock, with those that have something new to get
	answered       atomic.Int64     // when the shard answered last; as clock

	mu       sync.Mutex
	heard    bool // the shard has answered once
	head     chat.Head
	position chat.Seq
	active   map[chat.Mailbox]*mailbox // those that devices here read
	asks     []headAsk
	ended    bool // nothing is read any more
}

// headAsk is called once, without a lock, with the newest seq of a shard as it was after the question, or with why that is
// not known. It must not block.
type headAsk func(newest chat.Seq, refusal *chat.Error)

const (
	readerTick    = 100 * time.Millisecond
	arrivalsLimit = 1000 // arrivals in one query; more are read at once after them

	// A shard that has not answered its reader for readerSilence, many ticks, does not answer others either.
	readerSilence = 2 * time.Second

	maxHeadAsks = 8192 // that wait for a shard to answer; one more is answered busy
)

var errHeadsBusy = chat.Errorf(chat.CodeBusy, "too many wait for the shard to answer; try again later")

func newReader(
	shard chat.ShardNumber, store Store, log *slog.Logger, clock func() time.Duration,
	onUsersChanged func(), wakeStreams func(...*window),
) *reader {
	return &reader{
		shard:          shard,
		store:          store,
		log:            log,
		clock:          clock,
		wake:           make(chan struct{}, 1),
		onUsersChanged: onUsersChanged,
		wakeStreams:    wakeStreams,
		active:         make(map[chat.Mailbox]*mailbox),
	}
}

// committed is called with each batch that this server has committed, in seq order. A batch that begins right after the
// position has nothing of others below it, and is taken from memory. Any other wakes the reader, if it has something for
// somebody here; else it waits for the next look, since nobody waits for it.
func (r *reader) committed(batch []chat.Message) {
	if news, taken := r.take(batch); taken {
		r.announce(news)
	} else if r.isRead(batch) {
		r.wakeUp()
	}
}

// isRead says whether a device here reads one of the mailboxes of a batch.
func (r *reader) isRead(batch []chat.Message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(batch, func(m chat.Message) bool { return r.active[m.To] != nil })
}

// take moves the position behind a batch that begins right after it.
func (r *reader) take(batch []chat.Message) (n news, taken bool) {
	first, last := batch[0].Seq, batch[len(batch)-1].Seq
	r.mu.Lock()
	defer r.mu.Unlock()
	follows := r.position.Counter()+1 == first.Counter() && int(last.Counter()-first.Counter()) == len(batch)-1
	if faults.PushPastPosition {
		// The mistake: this is newer than all that was read, so it may be given at once. What others have committed
		// before it is never read then.
		follows = first > r.position
	}
	if !r.heard || !follows {
		return nil, false
	}
	for _, m := range batch {
		if box := r.active[m.To]; box != nil {
			box.append(m)
			n.add(box)
		}
	}
	r.position = last
	r.head.Newest = max(r.head.Newest, last)
	return n.gathered(), true
}

// news are the mailboxes that have got something, each once. They are gathered with the reader's lock held.
type news []*mailbox

func (n *news) add(box *mailbox) {
	if !box.fresh {
		box.fresh = true
		*n = append(*n, box)
	}
}

func (n news) gathered() news {
	for _, box := range n {
		box.fresh = false
	}
	return n
}

// announce wakes the streams of the mailboxes that have got something: once for each batch, however much came.
func (r *reader) announce(n news) {
	for _, box := range n {
		box.wakeListeners(r.wakeStreams)
	}
}

func (r *reader) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// join gives the mailbox's tail to one more device, and makes it begin at the position if it is the first. It returns
// nil while the shard has never answered, since there is no position yet.
func (r *reader) join(name chat.Mailbox) *mailbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.heard {
		return nil
	}
	box := r.active[name]
	if box == nil {
		box = &mailbox{name: name, shard: r.shard, from: r.position}
		r.active[name] = box
	}
	box.users++
	return box
}

// leave takes one device's share of the tail back.
func (r *reader) leave(box *mailbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if box.users--; box.users == 0 {
		delete(r.active, box.name)
	}
}

// ready says whether the shard has answered once.
func (r *reader) ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard
}

// silent says that the shard does not answer at present.
func (r *reader) silent() bool { return r.clock()-time.Duration(r.answered.Load()) > readerSilence }

// sweep forgets what the devices have read by now.
func (r *reader) sweep() {
	r.mu.Lock()
	boxes := make([]*mailbox, 0, len(r.active))
	for _, box := range r.active {
		boxes = append(boxes, box)
	}
	r.mu.Unlock()
	for _, box := range boxes {
		box.age()
	}
}

// newest is the highest seq that the shard is known to have given.
func (r *reader) newest() chat.Seq {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head.Newest
}

// ask learns the shard's newest seq from the shard itself: this server may know less than the one that a client comes from.
func (r *reader) ask(done headAsk) {
	if refusal := r.enqueue(done); refusal != nil {
		done(0, refusal)
		return
	}
	r.wakeUp()
}

func (r *reader) enqueue(done headAsk) *chat.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended:
		return errShardSilent
	case len(r.asks) >= maxHeadAsks:
		return errHeadsBusy
	}
	r.asks = append(r.asks, done)
	return nil
}

// takeAsks are those that the next look at the shard answers; after the last look no more are taken.
func (r *reader) takeAsks(last bool) []headAsk {
	r.mu.Lock()
	defer r.mu.Unlock()
	asks := r.asks
	r.asks, r.ended = nil, last
	return asks
}

func (r *reader) answer(asks []headAsk, err error) {
	newest, refusal := r.newest(), (*chat.Error)(nil)
	if err != nil {
		refusal = errShardSilent.Because(err)
	}
	for _, done := range asks {
		done(newest, refusal)
	}
}

// serve reads until ctx ends.
func (r *reader) serve(ctx context.Context) {
	tick := time.NewTicker(readerTick)
	defer tick.Stop()
	var failing outage
	for {
		asks := r.takeAsks(false)
		err := r.catchUp(ctx)
		r.answer(asks, err)
		if ctx.Err() != nil {
			r.answer(r.takeAsks(true), ctx.Err())
			return
		}
		failing.report(r.log, err, "the shard does not answer; its messages wait there",
			"the shard answers again")
		tick.Reset(readerTick) // a look that a commit asked for is the next tick's, too
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// catchUp reads the arrivals above the position until there are no more.
func (r *reader) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	for {
		r.mu.Lock()
		heard, position, seen := r.heard, r.position, r.head
		r.mu.Unlock()
		limit := arrivalsLimit
		if !heard {
			limit = 0 // only the head: what was committed before is no news
		}
		head, arrivals, err := r.store.Arrivals(ctx, r.shard, position, seen, limit)
		if err != nil {
			return err
		}
		r.answered.Store(int64(r.clock()))
		if !heard {
			// What was committed before this server began is nobody's news: devices find it when they join. But
			// users may have been read before this head, and have changed in between.
			r.onUsersChanged()
			return r.begin(ctx, head)
		}
		if head.UserRev != seen.UserRev {
			r.onUsersChanged()
		}
		more := len(arrivals) == arrivalsLimit
		if err := r.deliver(ctx, arrivals); err != nil {
			return err
		}
		r.mu.Lock()
		r.head.UserRev, r.head.MapEpoch = head.UserRev, head.MapEpoch
		if !more {
			r.head.Newest = max(r.head.Newest, head.Newest)
		}
		r.mu.Unlock()
		if !more {
			return nil
		}
	}
}

// begin takes up the position. If this is the shard of Everyone, it joins that mailbox for the server itself, for good:
// so where the broadcasts of the server's first device begin need not be asked when that comes, which may be while this
// shard does not answer and the device's own does.
func (r *reader) begin(ctx context.Context, head chat.Head) error {
	everyone := &mailbox{name: chat.Everyone, shard: r.shard, from: head.Newest, users: 1}
	here := r.store.Locate(chat.Everyone) == r.shard
	if here {
		newest, err := r.store.Newest(ctx, r.shard, []chat.Mailbox{chat.Everyone})
		if err != nil {
			return err
		}
		everyone.raiseNewest(newest[chat.Everyone])
		everyone.searched.Store(true)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard, r.head, r.position = true, head, head.Newest
	if here {
		r.active[chat.Everyone] = everyone
	}
	return nil
}

// deliver takes arrivals, ascending and above the position, into the tails, and moves the position behind them. Only
// the texts of mailboxes that are read here are fetched.
func (r *reader) deliver(ctx context.Context, arrivals []chat.Arrival) error {
	if len(arrivals) == 0 {
		return nil
	}
	wanted := r.wanted(arrivals)
	var bodies []chat.Message
	if len(wanted) > 0 {
		var err error
		if bodies, err = r.store.Bodies(ctx, r.shard, wanted); err != nil {
			return err
		}
		r.answered.Store(int64(r.clock()))
	}
	r.announce(r.takeRead(arrivals, bodies))
	return nil
}

// takeRead moves the position behind arrivals that were read, with the texts that are wanted.
func (r *reader) takeRead(arrivals []chat.Arrival, bodies []chat.Message) (n news) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range arrivals {
		box := r.active[a.To]
		if a.Seq <= r.position || box == nil {
			continue // taken from memory meanwhile, or nobody here reads it
		}
		i, found := slices.BinarySearchFunc(bodies, a.Seq, bySeq)
		if found {
			box.append(bodies[i])
		} else {
			// Its mailbox was joined while the texts were fetched: devices read it from the store.
			box.skip(a.Seq, a.Seq)
		}
		n.add(box)
	}
	r.position = max(r.position, arrivals[len(arrivals)-1].Seq)
	return n.gathered()
}

func (r *reader) wanted(arrivals []chat.Arrival) []chat.Seq {
	r.mu.Lock()
	defer r.mu.Unlock()
	var seqs []chat.Seq
	for _, a := range arrivals {
		if r.active[a.To] != nil {
			seqs = append(seqs, a.Seq)
		}
	}
	return seqs
}
