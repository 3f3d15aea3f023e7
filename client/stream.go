package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// maxDeliveries is how many messages wait for Take: as many as the system gives a stream ahead of its acks. When there
// are more, as after a reconnect, nothing more is read from the connection until Take returns, answers included.
const maxDeliveries = 512

// StreamConfig is what a stream is made of.
type StreamConfig struct {
	Proxies  []Address // at least one; the first is tried first, and each is used for as long as it serves
	User     chat.UserID
	Password chat.Secret

	// Device is where the user reads; see [LoadDevice]. One name serves one stream at a time: a newer one replaces the
	// older. Empty: the stream only sends, and Take is nil.
	Device chat.DeviceID

	// Take is given the user's messages, one at a time and in order within a mailbox, on the goroutine that called Serve.
	// A message is acknowledged once Take has returned nil, and not before: one that was being taken when the process died
	// comes again to the next. Within this stream each is given once. An error ends Serve with that error and leaves the
	// message with the system; [ErrStop] takes the message and ends Serve with nil.
	//
	// Take may Post. It must not wait for a Send or a Flush: the answers may be behind messages that wait for Take.
	Take func(chat.Message) error

	TLS       *tls.Config // for proxies with TLS; nil: the system's authorities prove the proxy's host name
	LocalAddr netip.Addr  // what to dial from; zero: what the system takes for the route to the proxy

	Notify func(Event)  // is told how the connection and what is sent on it fare, one event after another; it must not block; nil: nobody is
	Log    *slog.Logger // the same for logs, and what the system refused that nobody waits for; nil: nothing is logged
}

// Stream is a user's line to the system: one connection at a time, for as long as [Stream.Serve] runs, and an outbox that
// outlives connections. Its other methods may be called from any goroutine, also before Serve.
type Stream struct {
	cfg  StreamConfig
	pace pace

	out        *outbox
	in         *inbox
	deliveries chan chat.Message // from a connection's reader to Take
	wake       chan struct{}     // one slot: there may be something to write
	refused    chan struct{}     // closed when the system has refused the login for good: what waits is another stream's
	leaving    chan struct{}     // closed when nothing more is taken or sent: what was taken is to be acknowledged, and then the end
	served     atomic.Bool

	strays strays // logins that may still take the device
}

// NewStream checks cfg and makes a stream. It does not touch the network.
func NewStream(cfg StreamConfig) (*Stream, error) {
	if err := checkUser(cfg.Proxies, cfg.User, cfg.Password); err != nil {
		return nil, err
	}
	switch {
	case cfg.Device == "" && cfg.Take != nil:
		return nil, errors.New("a stream that takes messages needs the name of a device")
	case cfg.Device != "" && cfg.Take == nil:
		return nil, errors.New("a stream with a device needs somebody who takes its messages")
	case cfg.Device != "":
		if err := chat.CheckDeviceID(cfg.Device); err != nil {
			return nil, err
		}
	}
	cfg.Log = orDiscard(cfg.Log)
	cfg.Proxies = slices.Clone(cfg.Proxies)
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{}
	}
	s := &Stream{
		cfg:        cfg,
		pace:       usualPace,
		in:         newInbox(cfg.User),
		deliveries: make(chan chat.Message, maxDeliveries),
		wake:       make(chan struct{}, 1),
		refused:    make(chan struct{}),
		leaving:    make(chan struct{}),
	}
	s.out = newOutbox(s.signal)
	return s, nil
}

// Serve connects, logs in, sends and takes messages, and connects anew whenever a connection is lost, for as long as ctx
// lasts. A stream is served once. It returns
//
//   - ctx's error, after it has told the system what was taken, for which it has 2 s;
//   - Take's error, or nil for ErrStop, after the same;
//   - a [*chat.Error] when the system refused the login for good: code auth, badreq, or replaced, since a newer stream of
//     the device took over. To serve another stream after that would take the device back. A login that was given up
//     without an answer may take over late, too: a replaced within 30 s after that is told as Lost and the stream connects
//     anew, once for each such login. If it was another reader after all, that one is replaced in turn;
//   - [ErrUnreachable] when each proxy was tried once and none answered, since then an address is likely to be wrong. Once
//     one has answered, Serve does not give up.
//
// What is in the outbox then is done with an error.
func (s *Stream) Serve(ctx context.Context) error {
	if s.served.Swap(true) {
		return errors.New("a stream is served once; make another")
	}
	why := errEnded
	defer func() { s.out.close(why) }()

	// The connection outlives ctx for a moment, so that what was taken is acknowledged.
	working, abort := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait() // after the abort below
	defer abort()
	dialling, hangUp := context.WithCancel(working)
	defer hangUp()
	ended := make(chan error, 1)
	running.Go(func() { ended <- s.keepConnected(working, dialling) })

	err, over := s.takeAll(ctx, ended)
	if over {
		if err != nil {
			why = err
		}
		return err
	}
	if ctx.Err() != nil {
		why = context.Cause(ctx)
	}
	s.leave(hangUp, abort, ended)
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// takeAll gives messages to Take until it returns an error or ctx ends. Over says that there is no connection to be left
// any more, and why.
func (s *Stream) takeAll(ctx context.Context, ended <-chan error) (err error, over bool) {
	for {
		select {
		case err := <-ended:
			return err, true
		case <-s.refused:
			return <-ended, true
		case <-ctx.Done():
			return ctx.Err(), false
		case m := <-s.deliveries:
			// An end comes before all messages that wait.
			select {
			case <-s.refused:
				return <-ended, true
			case <-ctx.Done():
				return ctx.Err(), false
			default:
			}
			if err := s.takeOne(m); err != nil {
				return err, false
			}
		}
	}
}

func (s *Stream) takeOne(m chat.Message) error {
	var err error
	if s.in.isNew(m) {
		err = s.cfg.Take(m)
	}
	if err != nil && !errors.Is(err, ErrStop) {
		return err
	}
	if s.in.took(m, len(s.deliveries) > 0) {
		s.signal()
	}
	return err
}

// leave ends the connection in order, for which it has a while.
func (s *Stream) leave(hangUp, abort context.CancelFunc, ended <-chan error) {
	if s.in.settled() {
		hangUp() // if there is no connection now, none is worth waiting for
	}
	close(s.leaving)
	s.signal()
	timer := time.AfterFunc(s.pace.farewell, abort)
	defer timer.Stop()
	<-ended
}

// signal makes the connection's writer look whether there is something to write.
func (s *Stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Stream) isLeaving() bool {
	select {
	case <-s.leaving:
		return true
	default:
		return false
	}
}

// tell tells whoever wants to know.
func (s *Stream) tell(e Event) {
	switch e.Kind {
	case Connected:
		s.cfg.Log.Info("connected", "proxy", e.Proxy)
	case Retried:
		s.cfg.Log.Info("a message is sent again", "proxy", e.Proxy, "id", e.Message, "error", e.Err)
	default:
		s.cfg.Log.Warn(fmt.Sprintf("connection %v", e.Kind), "proxy", e.Proxy, "error", e.Err)
	}
	if s.cfg.Notify != nil {
		s.cfg.Notify(e)
	}
}
