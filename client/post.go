package client

import (
	"context"

	"multichat/internal/chat"
)

// Post puts a message for a user, or for [chat.Everyone], into the outbox, under an id of its own. There it stays until
// it is answered for good: what was unanswered when a connection was lost is sent again on the next under the same id, so
// that it is stored once; and what was answered busy, unavail or unknown is sent again after a pause.
//
// done is then called once, with the place or the error, as [Stream.Send] would return them; it may be nil. It must not
// block, for it holds up the connection, but it may Post. An error of Post itself means that nothing was put into the
// outbox and done is not called: a refusal as [*chat.Error], [ErrOutboxFull], or [ErrNotSent] after Serve has returned.
//
// Messages to one recipient are stored in the order posted, but for those that the system answered with an error and
// took later. text is copied.
func (s *Stream) Post(to chat.Mailbox, text []byte, done func(Result, error)) error {
	_, err := s.post(to, text, done)
	return err
}

func (s *Stream) post(to chat.Mailbox, text []byte, done func(Result, error)) (*outgoing, error) {
	if err := chat.CheckMailbox(to); err != nil {
		return nil, err
	}
	if err := chat.CheckText(text, chat.MaxText); err != nil {
		return nil, err
	}
	return s.out.add(to, text, done)
}

// Send posts a message and waits until it is stored, which needs a Serve. It returns a Post's errors and
//
//   - a [*chat.Error] with code unknown: ctx or Serve ended when the message may have been stored, and to send it again
//     may send it twice;
//   - a [*chat.Error] with any other code: the system refused, for good or until ctx ended, and nothing was stored;
//   - [ErrNotSent], and why: ctx or Serve ended before the message was handed to the system.
//
// When ctx has ended, the message is not sent again.
func (s *Stream) Send(ctx context.Context, to chat.Mailbox, text []byte) (Result, error) {
	type answer struct {
		result Result
		err    error
	}
	answered := make(chan answer, 1)
	m, err := s.post(to, text, func(r Result, err error) { answered <- answer{r, err} })
	if err != nil {
		return Result{}, err
	}
	select {
	case a := <-answered:
		return a.result, a.err
	case <-ctx.Done():
		if withdrawn, fate := s.out.withdraw(m, context.Cause(ctx)); withdrawn {
			return Result{}, fate
		}
		a := <-answered
		return a.result, a.err
	}
}

// Pending is how many messages are in the outbox.
func (s *Stream) Pending() int {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return len(s.out.queue)
}

// Flush waits until the outbox is empty and every done has returned; the end of Serve empties it too. Its error is ctx's.
func (s *Stream) Flush(ctx context.Context) error {
	return s.out.wait(ctx, func() bool { return len(s.out.queue) == 0 && s.out.telling == 0 })
}

// Room waits until the outbox has room for one more message, however long. So whoever is the only one to Post can Post
// as fast as the system stores, without an ErrOutboxFull. Its error is ctx's; when Serve has returned, Post tells.
func (s *Stream) Room(ctx context.Context) error {
	return s.out.wait(ctx, func() bool {
		return s.out.ended != nil || s.out.hasRoomLocked(frameRoom+chat.MaxUserID+chat.MaxText)
	})
}
