package server

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/crew"
	"multichat/internal/edge"
	"multichat/internal/faults"
	"multichat/internal/metrics"
	"multichat/internal/wire"
)

// Config is what a Server needs. The zero value of a bound means its default.
type Config struct {
	Store   Store
	Metrics *metrics.Metrics
	Log     *slog.Logger
	Engine  Engine // how messages are stored; default EventEngine

	MaxText int           // bytes of one text; default chat.DefaultMaxText
	Hold    time.Duration // how long a send whose shard does not answer is held; default chat.SendHold

	// Key is the cluster's. By it a server takes the tickets that another one made; without it there are none.
	Key chat.Secret

	UserSends     int // messages a second from one user; default DefaultUserSends, negative: any number
	UserSendBurst int // of them at once; default DefaultUserSendBurst
	GuessBurst    int // wrong passwords at once from one address; default DefaultGuessBurst, negative: any number

	UserStreams int // streams of one user; default DefaultUserStreams, negative: any number

	// Retention is how long messages are kept, and devices that nobody sees. Default DefaultRetention; see
	// CheckRetention for what is allowed.
	Retention time.Duration

	watching watchTimes // tests have no patience; default usualWatchTimes

	// Committed is called after each commit with the shard and its newest seq, so that other servers can be told. It
	// must be quick; nil is allowed.
	Committed func(chat.ShardNumber, chat.Seq)
}

// Server is the business logic: it implements [edge.Handler]. All its methods may be called from many goroutines.
type Server struct {
	store     Store
	metrics   *metrics.Metrics
	log       *slog.Logger
	maxText   int
	hold      time.Duration
	userSends rate
	committed func(chat.ShardNumber, chat.Seq)
	start     time.Time

	auth     *authenticator
	accounts *accounts
	devices  *devices
	ports    *ports
	shards   map[chat.ShardNumber]*shard
	engine   engine

	pushing    context.Context // ends pushes, and the password checks of polls
	endPushing context.CancelCauseFunc
	pushes     *crew.Crew
	verifying  *crew.Crew

	deliveries *deliveries
	watching   watchTimes
	streaming  atomic.Int64 // streams that are open
	sending    atomic.Int64 // sends of streams that are not answered yet
	draining   atomic.Bool  // streams are about to be led elsewhere: none is opened, and nothing is sent
}

// shard is the machinery of one shard: each part but the pages is one goroutine of Serve.
type shard struct {
	number      chat.ShardNumber
	reader      *reader
	pages       *crew.Crew // that are read for version 1's devices
	streamPages *crew.Crew // that are read for streams
	streams     *streams
	opens       *batcher[openRequest]
	cursors     *cursorWriter
	forgets     *retention
}

const (
	maxPushes  = 4096 // devices that are pushed to at once; a poll beyond is dropped and comes again
	sweepEvery = 10 * time.Second

	// queryTimeout bounds whatever is asked of a shard, so that one that hangs keeps nothing for ever.
	queryTimeout = 10 * time.Second
)

// New makes a server over a store. It does nothing until Serve. It panics on a Retention that CheckRetention refuses.
func New(cfg Config) *Server {
	if err := CheckRetention(cfg.Retention); err != nil {
		panic("server: " + err.Error())
	}
	s := &Server{
		store:     cfg.Store,
		metrics:   cfg.Metrics,
		log:       cfg.Log,
		maxText:   cfg.MaxText,
		hold:      cfg.Hold,
		userSends: sendRate(cfg.UserSends, cfg.UserSendBurst),
		committed: cfg.Committed,
		start:     time.Now(),
		accounts:  newAccounts(cfg.Store),
		devices:   newDevices(),
		ports:     newPorts(),
		shards:    make(map[chat.ShardNumber]*shard),
		pushes:    crew.New(maxPushes),
		verifying: crew.New(maxHashesWaiting),
		watching:  cmp.Or(cfg.watching, usualWatchTimes),
	}
	s.auth = newAuthenticator(cfg.Key, cfg.GuessBurst, s.clock)
	if s.maxText == 0 {
		s.maxText = chat.DefaultMaxText
	}
	if s.hold == 0 {
		s.hold = chat.SendHold
	}
	if s.committed == nil {
		s.committed = func(chat.ShardNumber, chat.Seq) {}
	}
	s.pushing, s.endPushing = context.WithCancelCause(context.Background())
	s.deliveries = newDeliveries(s.deliver, s.clock)
	for _, number := range cfg.Store.Shards() {
		s.shards[number] = s.newShard(number, cfg)
	}
	s.engine = newEngine(cfg.Engine, cfg.Store, cfg.Log, func(number chat.ShardNumber, batch []chat.Message) {
		s.shards[number].reader.committed(batch)
		s.committed(number, batch[len(batch)-1].Seq)
	})
	return s
}

func (s *Server) newShard(number chat.ShardNumber, cfg Config) *shard {
	log := s.log.With("shard", s.store.Name(number))
	return &shard{
		number:      number,
		reader:      newReader(number, s.store, log, s.clock, func() { s.accounts.changed(number) }, s.deliveries.wake),
		pages:       crew.New(maxPages),
		streamPages: crew.New(maxStreamPages),
		streams:     newStreams(&s.streaming, cmp.Or(cfg.UserStreams, DefaultUserStreams)),
		opens:       newBatcher[openRequest](maxOpens, openBatch),
		cursors:     newCursorWriter(number, s.store, log, s.clock),
		forgets:     &retention{shard: number, store: s.store, log: log, keep: cmp.Or(cfg.Retention, DefaultRetention)},
	}
}

// Serve works until ctx ends, and then stores what was acknowledged. End the edges and links that call the server
// first: what they still send afterwards is refused.
func (s *Server) Serve(ctx context.Context) error {
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	var group sync.WaitGroup
	group.Go(func() { s.engine.serve(work) })
	for _, sh := range s.shards {
		group.Go(func() { sh.reader.serve(work) })
		group.Go(func() { s.accounts.serve(work, sh.number, s.clock) })
		group.Go(func() {
			sh.opens.run(work, func(ctx context.Context, batch []openRequest) { s.open(ctx, sh, batch) })
		})
		group.Go(func() { sh.cursors.serve(work) })
		group.Go(func() { sh.forgets.serve(ctx) })
		group.Go(func() { s.serveWatch(ctx, sh) })
	}
	group.Go(func() { s.deliveries.serve(ctx) })
	s.sweepUntil(ctx)

	s.endPushing(errShuttingDown)
	s.endStreams()
	<-s.pushes.Close()
	<-s.verifying.Close()
	s.endDeliveries()
	endWork() // the cursors that the last pushes raised are stored now
	group.Wait()
	return nil
}

// sweepUntil forgets, now and then, what is no longer used, and has it stored that the rest is.
func (s *Server) sweepUntil(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		gone, unseen := s.devices.sweep(s.clock())
		for _, d := range gone {
			s.forgotten(d)
		}
		for _, d := range unseen {
			s.cursors(d).mark(&d.bookmark)
		}
		for _, sh := range s.shards {
			sh.reader.sweep()
		}
		s.accounts.sweep(s.clock())
	}
}

// Hint says that a shard has something new, as another server has told.
func (s *Server) Hint(number chat.ShardNumber, _ chat.Seq) {
	if sh := s.shards[number]; sh != nil {
		sh.reader.wakeUp()
	}
}

// Send stores a message: it authenticates the sender, and answers after the commit. It implements [edge.Handler].
func (s *Server) Send(ctx context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
	ctx, cancel := context.WithTimeout(ctx, s.hold)
	defer cancel()
	if err := chat.CheckText(m.Text, s.maxText); err != nil {
		return 0, err
	}
	sender, err := s.authenticate(ctx, from, m.User, m.Password, false)
	if err != nil {
		return 0, err
	}
	if err := s.admitSend(sender); err != nil {
		return 0, err
	}
	stored := await(ctx, s.engine, chat.Submission{ID: m.ID, From: sender.user.ID, FromName: sender.user.Name, To: m.To,
		Text: m.Text, Sent: faults.Now()})
	if stored.Err != nil {
		return 0, stored.Err
	}
	return stored.Seq, nil
}

// Poll looks for what waits for a version 1 client. It implements [edge.Handler]. A poll that needs no look at a shard,
// and has nothing to get, costs a look into two tables.
func (s *Server) Poll(from edge.Caller, p wire.Poll, back edge.Pusher) {
	s.metrics.Polls.Inc()
	if user := s.accounts.lookup(p.User, s.clock()); user != nil {
		s.pollAs(user, from, p.Password, p.Port, back)
		return
	}
	from.Ticket = from.Ticket.Clone()
	password, port := p.Password.Clone(), p.Port
	asked := s.accounts.request(chat.UserID(p.User), func(user *account, err error) {
		switch {
		case err != nil:
			s.drop("shard_unavailable", 1)
		case user == nil:
			s.drop("auth", 1)
		default:
			s.pollAs(user, from, password, port, back)
		}
	})
	if !asked {
		s.drop("loads_busy", 1)
	}
}

// pollAs checks a poll's password, in the background if it has to be hashed.
func (s *Server) pollAs(user *account, from edge.Caller, password chat.Secret, port uint16, back edge.Pusher) {
	key := deviceKey{user: user.user.ID, client: from.Addr, port: port}
	t := s.auth.tag(&user.user, password)
	switch s.auth.recall(user, t, from.Ticket) {
	case right:
		s.auth.renewTicket(user, from)
		s.pollDevice(key, user.loader.shard, back)
		return
	case wrong:
		s.drop("auth", 1)
		return
	}
	if s.auth.guesses.exceeded(from.Addr, s.clock()) {
		s.drop("guesses_busy", 1)
		return
	}
	kept := password.Clone()
	from.Ticket = chat.Secret{} // it was not right, and is the caller's to change now
	err := s.verifying.Run(func() {
		if err := s.auth.verify(s.pushing, from.Addr, user, kept, t); err != nil {
			s.drop(string(chat.AsError(err).Code), 1)
			return
		}
		s.auth.renewTicket(user, from)
		s.pollDevice(key, user.loader.shard, back)
	})
	if err != nil {
		s.drop("hashes_busy", 1)
	}
}

// pollDevice pushes what waits for an authenticated client.
func (s *Server) pollDevice(key deviceKey, number chat.ShardNumber, back edge.Pusher) {
	now := s.clock()
	d := s.devices.lookup(key)
	if d == nil || d.away(now) || !d.searched() {
		if !s.shards[number].opens.offer(openRequest{key: key, back: back}) {
			s.drop("opens_busy", 1)
		}
		return
	}
	d.polled.Store(int64(now))
	if d.waits() {
		s.startPush(d, back)
	}
}

// forgotten ends what a device that is no longer in the table had here.
func (s *Server) forgotten(d *device) {
	s.ports.release(d)
	s.leave(&d.bookmark)
}

// leave gives a device's mailboxes back to their readers.
func (s *Server) leave(b *bookmark) {
	s.shards[b.inbox.box.shard].reader.leave(b.inbox.box)
	s.shards[b.broadcast.box.shard].reader.leave(b.broadcast.box)
}

func (s *Server) shardOf(m chat.Mailbox) *shard { return s.shards[s.store.Locate(m)] }

// broadcasts is the reader that Everyone comes by.
func (s *Server) broadcasts() *reader { return s.shardOf(chat.Everyone).reader }

func (s *Server) cursors(d *device) *cursorWriter { return s.shards[d.shard].cursors }

// clock is the time since the server was made; it never goes back, whatever happens to the machine's date.
func (s *Server) clock() time.Duration { return time.Since(s.start) }

func (s *Server) drop(reason string, n int) { s.metrics.Drops.WithLabelValues(reason).Add(float64(n)) }
