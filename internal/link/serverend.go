package link

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/crew"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// pushBytes is about how much of a push travels in one frame: pongs wait behind it, and so do other clients' pushes.
const pushBytes = 128 << 10

// serverEnd is a server's end of a link, and so the way back to the clients of one proxy, and to its tickets.
type serverEnd struct {
	s       *session
	handler edge.Handler
	sends   *crew.Crew // shared by all links of the listener, as is logins
	logins  *crew.Crew
	streams *serverStreams
	idle    time.Duration // silence after which the link is closed
}

// serve works the link until it ends, and says why. ctx is the one that sends and logins are handled under; they may
// outlive the link.
func (e *serverEnd) serve(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(e.s.serveWriter)
	wg.Go(e.serveWatch)
	e.s.serveReader(func(f frame) error { return e.handle(ctx, f) })
	e.closeStreams()
	wg.Wait()
	return e.s.why
}

// serveWatch hangs up on a proxy that says nothing, not even pings.
func (e *serverEnd) serveWatch() {
	late := e.idle / 3
	silence := silence{late: late}
	ticks := time.NewTicker(max(late/ticksPerLate, time.Millisecond))
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			if e.s.heard.Swap(false) {
				silence.begin(now)
			} else if silence.tick(now) >= e.idle {
				e.s.stop(fmt.Errorf("%s has said nothing for %v, not even a ping", e.s.peer, e.idle))
			}
		case <-e.s.done:
			return
		}
	}
}

func (e *serverEnd) handle(ctx context.Context, f frame) error {
	switch f.kind {
	case kindPoll:
		return e.takePoll(f)
	case kindSend:
		return e.takeSend(ctx, f)
	}
	if e.s.version >= streamsVersion {
		return e.handleStream(ctx, f)
	}
	return unexpected(f)
}

func (e *serverEnd) takePoll(f frame) error {
	var from edge.Caller
	var p wire.Poll
	if err := decodePoll(f.body, e.s.version, e, &from, &p); err != nil {
		return fmt.Errorf("a poll: %w", err)
	}
	e.handler.Poll(from, p, e)
	return nil
}

// KeepTicket gives the proxy a ticket, unless the queue is long: then the next call comes without one, and another is
// given.
func (e *serverEnd) KeepTicket(h edge.Holder, ticket chat.Secret) {
	e.s.out.add(kindTicket, 0, func(b []byte) []byte { return appendTicket(b, h, ticket) })
}

func (e *serverEnd) takeSend(ctx context.Context, f frame) error {
	from, m, err := decodeWrmsg(bytes.Clone(f.body), e.s.version, e)
	if err != nil {
		return fmt.Errorf("a send: %w", err)
	}
	id := f.id
	switch e.sends.Run(func() { e.handleSend(ctx, id, from, m) }) {
	case crew.ErrFull:
		e.s.counters.SendsBusy.Add(1)
		busy := chat.Errorf(chat.CodeBusy, "this server has too many sends in hand; try again later")
		e.replySend(id, sendReply{refusal: busy})
	case crew.ErrClosed:
		e.replySend(id, sendReply{notTaken: true})
	}
	return nil
}

func (e *serverEnd) handleSend(ctx context.Context, id uint64, from edge.Caller, m wire.Wrmsg) {
	seq, err := e.handler.Send(ctx, from, m)
	e.replySend(id, sendReply{seq: seq, refusal: chat.AsError(err)})
}

func (e *serverEnd) replySend(id uint64, r sendReply) {
	e.s.reply(id, func(b []byte) []byte { return appendSendReply(b, r) })
}

// Push has the proxy push. What is too much for one frame travels in parts, each after the receipt for the one before.
func (e *serverEnd) Push(ctx context.Context, p edge.Push) (edge.Receipt, error) {
	var total edge.Receipt
	for {
		part := p
		part.Messages = p.Messages[:firstPart(p.Messages)]
		p.Messages = p.Messages[len(part.Messages):]

		r, err := e.pushPart(ctx, part)
		if err != nil && total.Taken == 0 {
			return edge.Receipt{}, err
		}
		if err != nil {
			total.Outcome = edge.PushBroken // what the earlier parts delivered is known, and must not come twice
			return total, nil
		}
		total = edge.Receipt{Taken: total.Taken + r.Taken, Port: r.Port, Outcome: r.Outcome}
		if r.Outcome != edge.PushTaken || r.Taken < len(part.Messages) || len(p.Messages) == 0 {
			return total, nil
		}
		if r.Port != 0 {
			p.Ports, p.Settled = []uint16{r.Port}, true
		}
	}
}

// firstPart is how many messages go into the first frame: all that fit, but at least one if there is one.
func firstPart(messages []chat.Message) int {
	size := 0
	for i := range messages {
		size += messageSize(&messages[i])
		if i > 0 && size > pushBytes {
			return i
		}
	}
	return len(messages)
}

func (e *serverEnd) pushPart(ctx context.Context, p edge.Push) (edge.Receipt, error) {
	b, err := e.s.request(ctx, kindPush, func(b []byte) []byte { return appendPush(b, p) })
	switch {
	case err == errFull:
		e.s.counters.PushesBusy.Add(1)
		return edge.Receipt{Outcome: edge.PushBusy}, nil
	case err != nil:
		return edge.Receipt{}, fmt.Errorf("pushing to %v through %s: %w", p.Client, e.s.peer, err)
	}
	r, err := decodePushReply(b, len(p.Messages))
	switch {
	case err != nil:
		e.s.stop(fmt.Errorf("reading a receipt of %s: %w", e.s.peer, err))
		return edge.Receipt{}, e.s.broken(ErrBroken)
	case r.failed:
		return edge.Receipt{}, fmt.Errorf("pushing to %v through %s: the proxy says: %s", p.Client, e.s.peer, r.reason)
	}
	return r.receipt, nil
}
