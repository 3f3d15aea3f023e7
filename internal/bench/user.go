package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/checker"
)

// user is one who sends and reads.
type user struct {
	run       *run
	id        chat.UserID
	index     int
	stream    *client.Stream
	connected chan struct{} // closed at the first login
	window    chan struct{} // a slot for each message that is unanswered
	sent      int
}

func newName() string {
	var b [4]byte
	rand.Read(b[:])
	return "bench-" + hex.EncodeToString(b[:])
}

func (r *run) newUser(i int) (*user, error) {
	u := &user{run: r, id: r.cfg.Users[i], index: i, connected: make(chan struct{}), window: make(chan struct{}, r.cfg.Window)}
	var once atomic.Bool
	var err error
	u.stream, err = client.NewStream(client.StreamConfig{
		Proxies: rotated(r.cfg.Proxies, i), User: u.id, Password: r.cfg.Password, Device: Device, TLS: r.cfg.TLS, Take: u.take,
		Notify: func(e client.Event) {
			switch {
			case e.Kind == client.Connected && !once.Swap(true):
				close(u.connected)
			case e.Kind == client.Lost:
				r.count(r.lost, e.Err)
			case e.Kind == client.Retried:
				r.count(r.retries, e.Err)
			}
		},
	})
	return u, err
}

// rotated begins a list at its i-th element, so that users are spread over proxies.
func rotated(proxies []client.Address, i int) []client.Address {
	i %= len(proxies)
	return append(append([]client.Address(nil), proxies[i:]...), proxies[:i]...)
}

// send sends until ctx ends: each message when it is due, and no earlier than the window allows.
func (u *user) send(ctx context.Context) {
	pace := u.pace()
	due := time.Now()
	if pace > 0 { // not all at once
		due = due.Add(pace * time.Duration(u.index) / time.Duration(len(u.run.users)))
	}
	for {
		if pace > 0 {
			due = due.Add(pace)
			if !sleepUntil(ctx, due) {
				return
			}
		}
		select {
		case u.window <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if pace == 0 {
			due = time.Now()
		}
		u.post(due)
	}
}

// pace is the time between two messages of a user; 0: there is none.
func (u *user) pace() time.Duration {
	if u.run.cfg.Rate == 0 {
		return 0
	}
	return time.Duration(len(u.run.users)) * time.Second / time.Duration(u.run.cfg.Rate)
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// post sends a message that was due at a time.
func (u *user) post(due time.Time) {
	r := u.run
	to, readers := u.recipient()
	u.sent++
	text := r.text(u.index, u.sent, due)
	r.sent.Add(1)
	r.add(checker.Record{Kind: checker.Attempt, Client: string(u.id), User: u.id, To: to, Text: string(text)})
	done := func(result client.Result, err error) {
		<-u.window
		u.answered(string(text), due, readers, result, err)
	}
	if err := u.stream.Post(to, text, done); err != nil {
		done(client.Result{}, err)
	}
}

// recipient is whom the next message goes to, and how many of the run read it.
func (u *user) recipient() (to chat.Mailbox, readers int64) {
	users := u.run.users
	if mathrand.IntN(100) < u.run.cfg.Broadcast {
		return chat.Everyone, int64(len(users) - 1)
	}
	other := mathrand.IntN(len(users) - 1)
	if other >= u.index {
		other++
	}
	return users[other].id.Mailbox(), 1
}

func (u *user) answered(text string, due time.Time, readers int64, result client.Result, err error) {
	r := u.run
	record := checker.Record{Kind: checker.OK, Client: string(u.id), User: u.id, Text: text, Seq: result.Seq}
	if err == nil {
		r.expected.Add(readers)
		r.stored.Add(1)
		r.time(r.acks, time.Since(due))
	} else {
		r.failed.Add(1)
		record.Kind, record.Code = checker.Err, r.count(r.errs, err)
		if record.Code == chat.CodeUnknown {
			record.Kind = checker.Unknown
		}
	}
	r.add(record)
}

// take is given a message.
func (u *user) take(m chat.Message) error {
	r := u.run
	due, ours := r.dueOf(m.Text)
	if !ours {
		return nil // somebody else's
	}
	r.received.Add(1)
	r.time(r.arrivals, time.Since(due))
	r.add(checker.Record{Kind: checker.Delivery, Client: string(u.id), User: u.id, From: m.From, To: m.To, Seq: m.Seq, Text: string(m.Text)})
	return nil
}

// text is a message: the run, who sent it, its number, when it was due in nanoseconds since the run began, and then dots.
func (r *run) text(sender, number int, due time.Time) []byte {
	text := fmt.Appendf(make([]byte, 0, r.cfg.Size), "%s %d %d %d ", r.name, sender, number, due.Sub(r.begun).Nanoseconds())
	if missing := r.cfg.Size - len(text); missing > 0 {
		text = append(text, bytes.Repeat([]byte{'.'}, missing)...)
	}
	return text
}

// dueOf is when a message of this run was due.
func (r *run) dueOf(text []byte) (due time.Time, ours bool) {
	fields := strings.SplitN(string(text), " ", 5)
	if len(fields) < 5 || fields[0] != r.name {
		return time.Time{}, false
	}
	nanoseconds, err := strconv.ParseInt(fields[3], 10, 64)
	return r.begun.Add(time.Duration(nanoseconds)), err == nil
}

// count counts an error by its code. What has none is counted as lost: the connection was.
func (r *run) count(counts map[chat.Code]int64, err error) chat.Code {
	code := chat.Code("lost")
	if refusal, ok := errors.AsType[*chat.Error](err); ok {
		code = refusal.Code
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	counts[code]++
	return code
}

func (r *run) time(l *latencies, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.add(d)
}
