package server

import (
	"context"
	"time"

	"multichat/internal/chat"
)

// A push that reads a page waits for a shard, and meanwhile keeps one of maxPushes places and the device, for which
// something may wait on another shard. So that a shard that hangs keeps few devices, and those not for long:
const (
	maxPages = 64              // pages of one shard that are read at once; a push that needs one more ends there
	pageTime = 3 * time.Second // for one page

	// maxStreamPages is how many are read for streams besides; who needs one more tries again soon. Neither version's
	// devices keep the other's waiting.
	maxStreamPages = 32
)

var (
	errShardSilent = chat.Errorf(chat.CodeUnavail, "the shard does not answer")
	errPagesBusy   = chat.Errorf(chat.CodeBusy, "too many pages of the shard are being read")
)

// page reads what lies between a feed's position and the tail, unless the shard is known not to answer.
func (s *Server) page(ctx context.Context, f *feed, upTo chat.Seq) (messages []chat.Message, err error) {
	sh := s.shards[f.box.shard]
	if sh.reader.silent() {
		return nil, errShardSilent
	}
	if sh.pages.Do(func() {
		messages, err = s.readMailbox(ctx, f.box, f.at(), upTo, pushMessages, pushBytes)
	}) != nil {
		s.drop("pages_busy", 1)
		return nil, errPagesBusy
	}
	return messages, err
}

// readMailbox reads a page of a mailbox. The caller has a place for it.
func (s *Server) readMailbox(
	ctx context.Context, box *mailbox, after, upTo chat.Seq, limit, bytes int,
) ([]chat.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	return s.store.Page(ctx, box.name, after, upTo, limit, bytes)
}
