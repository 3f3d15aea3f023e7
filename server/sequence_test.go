package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
)

// While a shard was silent for longer than a message is held, a stream has gone on at another server, where all that was
// unanswered waits again. Its first server, which knows nothing of that, has given up the first message; so it must not store
// those behind it when the shard comes back, or the first would be stored behind them.
func TestWhatIsBehindAMessageThatWasGivenUpIsNotStored(t *testing.T) {
	for _, test := range []struct {
		name   string
		failed func(context.Context, func() error) error // how the shard is away
	}{
		{"for certain", func(context.Context, func() error) error {
			return chat.Errorf(chat.CodeUnavail, "the shard is away")
		}},
		{"nobody knows", func(context.Context, func() error) error {
			return chat.Errorf(chat.CodeUnknown, "the shard was about to").Because(errors.New("cut off"))
		}},
	} {
		t.Run(test.name, onBothEngines(1, func(t *testing.T, c *cluster) {
			c.addUsers("alice", "bob")
			const hold = time.Second
			first, second := c.serve(holdFor(hold)), c.serve()
			alice := first.stream("alice", "phone")
			alice.say("bob", "before")

			back := make(chan struct{}) // the shard is away until then, and what is under way fails then
			first.store.on("Append", func(ctx context.Context, do func() error) error {
				first.store.on("Append", nil)
				<-back
				return test.failed(ctx, do)
			})
			var texts []string
			var refs []uint64
			for i := range 10 { // the first is given up when the last still has half of its time
				texts = append(texts, fmt.Sprint(i))
				refs = append(refs, alice.send("bob", texts[i]))
				time.Sleep(hold / 20) // of the messages' time, which is under test
			}
			if a := alice.answer(refs[0]); a.code() != chat.CodeUnknown {
				t.Errorf("the first was answered %s, want unknown, since it was under way", a.code())
			}
			close(back)
			for i, ref := range refs {
				if a := alice.answer(ref); a.refusal == nil {
					t.Errorf("%s was stored, though what was sent before it had been given up", texts[i])
				}
			}

			moved := alice.takeOver()
			if err := moved.open(second); err != nil {
				t.Fatal(err)
			}
			for _, text := range texts {
				moved.send("bob", text)
			}
			moved.say("bob", "after")
			if got, want := c.texts("bob"), slices.Concat([]string{"before"}, texts, []string{"after"}); !slices.Equal(got, want) {
				t.Errorf("stored: %q, want %q", got, want)
			}
			alice.say("bob", "at the first again") // what comes later is another matter
		}))
	}
}
