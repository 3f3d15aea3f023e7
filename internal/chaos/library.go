package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/checker"
)

// library is a client as a program makes it from multichat/client.
type library struct {
	person
	stream    *client.Stream
	connected chan struct{} // closed at the first login
}

func newLibrary(p person, i int) *library {
	l := &library{person: p, connected: make(chan struct{})}
	proxies := slices.Clone(p.load.cfg.Proxies)
	first := i % len(proxies)
	var once bool
	var err error
	l.stream, err = client.NewStream(client.StreamConfig{
		Proxies: slices.Concat(proxies[first:], proxies[:first]), User: p.user, Password: p.load.cfg.Password,
		Device: chat.DeviceID(p.name), LocalAddr: p.addr, Take: l.take, Log: p.load.cfg.Log,
		Notify: func(e client.Event) {
			if e.Kind == client.Connected && !once {
				once = true
				close(l.connected)
			}
		},
	})
	if err != nil {
		panic("chaos: " + err.Error())
	}
	return l
}

func (l *library) serve(ctx context.Context) error {
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		l.sendWhile(ctx, l.send)
	}()
	err := l.stream.Serve(ctx)
	<-sending
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

func (l *library) announce(ctx context.Context) error {
	select {
	case <-l.connected:
		l.add(checker.Record{Kind: checker.Device, Version: 2, Resends: true})
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", l.name, errNotAnnounced)
	}
}

func (l *library) take(m chat.Message) error {
	l.add(checker.Record{Kind: checker.Delivery, From: m.From, To: m.To, Seq: m.Seq, Text: string(m.Text)})
	return nil
}

// send posts a message. The library sends it again by itself until it is answered for good.
func (l *library) send() {
	if l.stream.Pending() >= maxPending {
		return
	}
	m := l.next()
	l.add(checker.Record{Kind: checker.Attempt, To: m.to, Text: m.text})
	err := l.stream.Post(m.to, []byte(m.text), func(result client.Result, err error) { l.answered(m, result, err) })
	if err != nil {
		l.answered(m, client.Result{}, err)
	}
}

func (l *library) answered(m message, result client.Result, err error) {
	r := checker.Record{Kind: checker.OK, Text: m.text, Seq: result.Seq}
	if err != nil {
		r.Kind = checker.Err
		if refusal, ok := errors.AsType[*chat.Error](err); ok {
			if r.Code = refusal.Code; r.Code == chat.CodeUnknown {
				r.Kind = checker.Unknown
			}
		}
	}
	l.add(r)
}

// maxPending is how many messages of one client wait for their answer. While there are more, it sends nothing new.
const maxPending = 64

// answerTimeout is how long version 1's clients wait for an answer: longer than the system holds a message.
const answerTimeout = chat.SendHold + 5*time.Second
