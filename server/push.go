package server

import (
	"context"
	"errors"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/faults"
)

// Bounds of one push. What waits beyond them goes into the next, at once.
const (
	pushMessages = 32
	pushBytes    = 128 << 10

	// messageTime is what one message may take on its way: what the edge gives the client, and the way there.
	messageTime = edge.ClientTimeout + 500*time.Millisecond
)

// startPush gives d everything that waits, in a goroutine, through the way its poll came. One push per device is under
// way at any time; a poll that comes meanwhile adds nothing, since the push goes on until nothing waits.
func (s *Server) startPush(d *device, back edge.Pusher) {
	if !d.beginPush(s.clock()) {
		return
	}
	err := s.pushes.Run(func() {
		defer d.endPush()
		s.push(s.pushing, d, back)
	})
	if err != nil {
		d.endPush()
		s.drop("push_busy", 1)
	}
}

// push gives d what waits in its own mailbox and then what waits in Everyone, until one message gets no receipt, or its
// polls no longer come here: then another server gives it the rest, beginning where the store says.
func (s *Server) push(ctx context.Context, d *device, back edge.Pusher) {
	for _, f := range []*feed{&d.inbox, &d.broadcast} {
		for {
			messages, err := s.next(ctx, d, f)
			if err != nil {
				s.log.Debug("what waits could not be read; the next poll tries again", "mailbox", f.box.name, "error", err)
				break // the other mailbox may be on a shard that answers
			}
			if len(messages) == 0 {
				break
			}
			if !s.pushMessages(ctx, d, f, messages, back) || s.pushes.Closed() || d.away(s.clock()) {
				return
			}
		}
	}
}

// next returns messages that d has to be given from f, the oldest first; none when nothing waits. It passes over what
// the device never gets, its own user's broadcasts, once all before them has arrived.
func (s *Server) next(ctx context.Context, d *device, f *feed) ([]chat.Message, error) {
	for f.waits() {
		messages, gap := f.box.after(f.at(), pushMessages)
		if gap != 0 {
			var err error
			messages, err = s.page(ctx, f, gap)
			if err != nil {
				return nil, err
			}
			if len(messages) == 0 {
				f.raise(gap) // nothing is left between the position and the tail
				continue
			}
		}
		if len(messages) == 0 {
			return nil, nil // what is known to wait is above the position: the reader comes to it within a readerTick
		}
		passed, rest := passOwn(d, f, messages)
		if passed != 0 {
			f.raise(passed)
			s.cursors(d).mark(&d.bookmark)
		}
		if len(rest) > 0 {
			return rest, nil
		}
	}
	return nil, nil
}

// passOwn takes the user's own broadcasts out. passed is the last of those that lead; the rest fits one push.
func passOwn(d *device, f *feed, messages []chat.Message) (passed chat.Seq, rest []chat.Message) {
	bytes := 0
	for _, m := range messages {
		own := f.box.name == chat.Everyone && m.From == d.key.user
		switch {
		case own && len(rest) == 0:
			passed = m.Seq
		case !own:
			if bytes += len(m.Text); bytes > pushBytes && len(rest) > 0 {
				return passed, rest
			}
			rest = append(rest, m)
		}
	}
	return passed, rest
}

// pushMessages gives d some messages and takes the receipt. It reports whether to go on.
func (s *Server) pushMessages(ctx context.Context, d *device, f *feed, messages []chat.Message, back edge.Pusher) bool {
	readings, settled := s.ports.reserve(d, s.clock())
	if len(readings) == 0 {
		s.drop("port_refused", 1) // below 1024, or another user's
		d.failed(s.clock())
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, messageTime*time.Duration(len(messages)+1))
	defer cancel()
	if faults.CursorBeforeAck {
		// The mistake: what is handed on will arrive.
		f.raise(messages[len(messages)-1].Seq)
		s.cursors(d).ask(&d.bookmark, func(*chat.Error) {})
	}
	receipt, err := back.Push(ctx, edge.Push{
		Client: d.key.client, Ports: readings, Settled: settled, Messages: messages})
	if err != nil {
		// Nobody knows what the client got. It waits for the next poll, by whichever way that comes.
		s.ports.conclude(d, 0)
		s.metrics.Pushes.WithLabelValues("lost").Inc()
		return false
	}
	return s.takeReceipt(d, f, messages, receipt)
}

func (s *Server) takeReceipt(d *device, f *feed, messages []chat.Message, receipt edge.Receipt) bool {
	taken := min(receipt.Taken, len(messages))
	if taken > 0 {
		f.raise(messages[taken-1].Seq)
		s.cursors(d).mark(&d.bookmark)
		s.metrics.Pushes.WithLabelValues(edge.PushTaken.String()).Add(float64(taken))
		d.succeeded()
	}
	if receipt.Outcome == edge.PushTaken {
		s.ports.conclude(d, receipt.Port)
		return taken == len(messages)
	}
	s.metrics.Pushes.WithLabelValues(receipt.Outcome.String()).Inc()
	if receipt.Outcome == edge.PushBusy { // nothing is wrong with the client
		s.ports.untried(d)
		return false
	}
	s.ports.conclude(d, 0) // what is settled is forgotten when it fails
	if receipt.Outcome == edge.PushAmbiguous {
		s.log.Info("both readings of a client's listen_port answer, so its messages wait until one stops",
			"user", d.key.user, "client", d.key.client, "listen_port", d.key.port)
	}
	d.failed(s.clock())
	return false
}

// errShuttingDown ends what is under way when the server stops.
var errShuttingDown = errors.New("the server is shutting down")
