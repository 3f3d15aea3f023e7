package edge

import (
	"multichat/internal/chat"
	"multichat/internal/wire"
)

// Answer answers the call with this ref. A ref that is not known is passed over, and so is 0 without a refusal: that is
// an ack that wants no answer.
func (c *streamConn) Answer(ref uint64, seq chat.Seq, refusal *chat.Error) {
	if ref == 0 {
		if refusal != nil {
			c.refuse("", refusal)
		}
		return
	}
	if c.answer(ref, seq, refusal) == errSlow {
		c.endSlow()
	}
}

func (c *streamConn) answer(ref uint64, seq chat.Seq, refusal *chat.Error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	answered, ok := c.calls.take(ref)
	if !ok || c.ended != nil {
		return nil
	}
	defer c.settleLocked()
	if !answered.ack {
		c.metrics.Sends.WithLabelValues(outcome(refusal)).Inc()
	}
	return c.out.add(func(b []byte) []byte {
		if refusal != nil {
			return wire.AppendErr(b, answered.id, refusal)
		}
		return wire.AppendOK(b, answered.id, seq)
	})
}

// outcome is what an answer is counted as.
func outcome(refusal *chat.Error) string {
	if refusal != nil {
		return string(refusal.Code)
	}
	return "ok"
}

// Deliver takes messages always, but from a stream that has ended or, with them, has become slow.
func (c *streamConn) Deliver(messages []chat.Message) bool {
	err := c.out.add(func(b []byte) []byte {
		for _, m := range messages {
			b = wire.AppendMessage(b, m)
		}
		return b
	})
	if err == errSlow {
		c.endSlow()
	}
	return err == nil
}

// End says why the stream ends, or bye, and then waits for a moment for the client to close.
func (c *streamConn) End(why error) {
	if why == nil {
		c.leave()
		c.end(ending{endBye, c.grace}, nil)
		return
	}
	refusal := chat.AsError(why)
	c.end(ending{string(refusal.Code), lingerTime}, func(b []byte) []byte {
		return wire.AppendErr(b, c.login, refusal)
	})
}

// leave says bye, once. The stream goes on until the client closes or somebody ends it.
func (c *streamConn) leave() {
	if c.sayBye() == errSlow {
		c.endSlow()
	}
}

func (c *streamConn) sayBye() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left || c.ended != nil {
		return nil
	}
	c.left = true
	return c.out.add(wire.AppendBye)
}
