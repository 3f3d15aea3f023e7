package proxy

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// codes are all that a server may answer to a send, ok among them.
var codes = []chat.Code{"", chat.CodeAuth, chat.CodeBadReq, chat.CodeTooLarge, chat.CodeNoUser, chat.CodeConflict,
	chat.CodeBusy, chat.CodeUnavail, chat.CodeUnknown}

// codeID is the id of a message that asks for a code, and codeIn the code that it asks for.
func codeID(code chat.Code) string  { return "code-" + string(code) }
func codeIn(m wire.Wrmsg) chat.Code { return chat.Code(strings.TrimPrefix(string(m.ID), "code-")) }

// answerWith makes a server answer like this; "" is ok.
func answerWith(s *chatServer, code chat.Code) (chat.Seq, error) {
	if code == "" {
		return s.number, nil
	}
	return 0, chat.Errorf(code, "the sentence of %s", s.name)
}

func TestTheFirstServersAnswerIsTheClients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, func(s *chatServer) {
		s.send = func(_ context.Context, m wire.Wrmsg) (chat.Seq, error) { return answerWith(s, codeIn(m)) }
	})
	client := f.clientOf(t, f.names, "server-1")
	for _, code := range codes {
		seq, err := f.Send(t.Context(), from(client), message(codeID(code)))
		switch {
		case code == "":
			if err != nil || seq != 1 {
				t.Errorf("ok arrived as %v, %v", seq, err)
			}
		case err == nil || chat.AsError(err).Code != code || !strings.Contains(err.Error(), "the sentence of server-1"):
			t.Errorf("%s arrived as %v", code, err)
		}
	}
	for _, code := range codes {
		if n := f.servers[1].arrivals(codeID(code)); n > 0 {
			t.Errorf("%q: the other server got the message too, %d times", code, n)
		}
	}
}

func TestASendWhoseLinkBreaksIsAnsweredByTheNextServer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, func(s *chatServer) {
		s.send = func(_ context.Context, m wire.Wrmsg) (chat.Seq, error) { return answerWith(s, codeIn(m)) }
	})
	third, first, next := f.servers[0], f.servers[1], f.servers[2]
	client := f.clientOf(t, f.names, first.name, next.name)
	held := first.block(t)
	answers := make(map[chat.Code]<-chan answer)
	for _, code := range codes {
		answers[code] = f.send(client, codeID(code))
		receive(t, held.entered, "the send to arrive")
	}
	broken := time.Now()
	first.relay.close()
	held.letGo() // it answers all with ok, and nobody hears it
	for _, code := range codes {
		want := code
		switch code {
		case "":
			want = "ok"
		case chat.CodeBusy, chat.CodeUnavail:
			want = chat.CodeUnknown // the first server may have stored it
		}
		a := receive(t, answers[code], "an answer")
		if a.code() != string(want) || a.err == nil && a.seq != next.number {
			t.Errorf("what the next server answers with %q is answered by %v, %v; want %s", code, a.seq, a.err, want)
		}
		for s, want := range map[*chatServer]int{first: 1, next: 1, third: 0} {
			if got := s.arrivals(codeID(code)); got != want {
				t.Errorf("%q: the message arrived %d times at %s, want %d", code, got, s.name, want)
			}
		}
	}
	gap := time.Since(broken)
	t.Logf("%d sends were answered within %v after their link broke", len(codes), gap.Round(ms/10))
	if gap > time.Second {
		t.Errorf("the gap was %v", gap)
	}
}

func TestAServerThatShutsDownSendsClientsToTheNextAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	first, next := f.servers[0], f.servers[1]
	client := f.clientOf(t, f.names, first.name)
	held := first.block(t)
	wait := first.send
	first.send = func(ctx context.Context, m wire.Wrmsg) (chat.Seq, error) {
		if m.ID == "held" {
			return wait(ctx, m)
		}
		return first.number, nil
	}
	inFlight := f.send(client, "held")
	receive(t, held.entered, "the send to arrive")
	ended := make(chan struct{})
	go func() { // its link lives until the send in hand is answered, and refuses new ones; the gossip has not told yet
		defer close(ended)
		first.endLinks()
	}()
	eventually(t, "the first server refuses", func() bool {
		a := receive(t, f.send(client, "probe"), "an answer")
		return a.err == nil && a.seq == next.number
	})
	a := receive(t, f.send(client, "m1"), "an answer")
	if a.err != nil || a.seq != next.number || a.after > time.Second {
		t.Errorf("answered by %v (%v) after %v, want %v at once", a.seq, a.err, a.after, next.number)
	}
	held.letGo()
	if a := receive(t, inFlight, "the send in hand"); a.err != nil || a.seq != first.number {
		t.Errorf("the send in hand was answered by %v (%v), want %v", a.seq, a.err, first.number)
	}
	receive(t, ended, "the links to end")
}

func TestASendIsRepeatedThreeTimesAndSlowly(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var arrivals []time.Time
	f := newFleet(t, 3, func(s *chatServer) {
		s.send = func(_ context.Context, m wire.Wrmsg) (chat.Seq, error) {
			mu.Lock()
			defer mu.Unlock()
			arrivals = append(arrivals, time.Now())
			s.relay.cut() // it dies of this message
			return 1, nil
		}
	})
	a := receive(t, f.send(f.clientOf(t, f.names, "server-1"), "m1"), "an answer")
	if a.code() != string(chat.CodeUnknown) || !strings.Contains(a.err.Error(), "same id") {
		t.Errorf("answered %v, want unknown and what to do", a.err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(arrivals) != 1+maxResends {
		t.Fatalf("the message arrived %d times, want %d", len(arrivals), 1+maxResends)
	}
	for i, pause := range []struct{ least, most time.Duration }{
		{0, time.Second},
		{resendPause - 500*ms, resendPause + 2*time.Second}, // counted from when it was handed on, not from when it arrived
		{resendPause - 500*ms, resendPause + 2*time.Second},
	} {
		if gap := arrivals[i+1].Sub(arrivals[i]); gap < pause.least || gap > pause.most {
			t.Errorf("repetition %d came after %v, want %v to %v", i+1, gap, pause.least, pause.most)
		}
	}
}

func TestWithoutAServerASendIsRefusedInTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout time.Duration // of the caller
		want    chat.Code
		after   time.Duration
	}{
		{"the caller has time", time.Minute, chat.CodeUnavail, serverWait},
		{"the caller has less", time.Second, chat.CodeUnavail, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProxy(t)
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				begin := time.Now()
				_, err := p.Send(ctx, from(aClient), message("m1"))
				if err == nil || chat.AsError(err).Code != tt.want {
					t.Errorf("answered %v, want %s: nothing can have been stored", err, tt.want)
				}
				if took := time.Since(begin); took != tt.after {
					t.Errorf("answered after %v, want %v", took, tt.after)
				}
			})
		})
	}
}

func TestAServerThatComesTakesWhatWaits(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "proxy-1")
	if err := p.Ready(); err == nil || p.Links() != 0 {
		t.Errorf("ready (%v) with %d links, though there is no server", err, p.Links())
	}
	for range 3 {
		p.Poll(from(aClient), aPoll, nil)
	}
	if got := p.drops("no_server"); got != 3 {
		t.Errorf("%v polls were counted as dropped, want 3", got)
	}
	waits := p.send(aClient, "m1")
	s := newServer(t, "server-1")
	s.join(t, p)
	if a := receive(t, waits, "an answer"); a.err != nil || a.seq != s.number {
		t.Errorf("the send that waited was answered by %v (%v), want %v", a.seq, a.err, s.number)
	}
	if err := p.Ready(); err != nil || p.Links() != 1 {
		t.Errorf("not ready (%v), with %d links", err, p.Links())
	}
	if n := s.polls(aClient); n != 0 {
		t.Errorf("%d polls arrived that were counted as dropped", n)
	}
	s.relay.close()
	p.awaitRoute(t)
	if p.Ready() == nil {
		t.Error("ready without a link")
	}
}

func TestTheOnlyServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, nil)
	client := f.clientOf(t, f.names, "server-1")
	s := f.servers[0]
	var mu sync.Mutex
	times := 0
	s.send = func(context.Context, wire.Wrmsg) (chat.Seq, error) {
		mu.Lock()
		defer mu.Unlock()
		if times++; times == 1 {
			s.relay.cut()
		}
		return s.number, nil
	}
	a := receive(t, f.send(client, "m1"), "an answer")
	if a.err != nil || a.seq != s.number || a.after > 2*time.Second {
		t.Errorf("answered by %v (%v) after %v, want %v over its next link", a.seq, a.err, a.after, s.number)
	}
	if got := s.arrivals("m1"); got != 2 {
		t.Errorf("the message arrived %d times, want 2", got)
	}

	s.send = func(context.Context, wire.Wrmsg) (chat.Seq, error) {
		s.relay.close() // and it does not come back
		return s.number, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // less than the proxy would wait
	defer cancel()
	begin := time.Now()
	_, err := f.Send(ctx, from(client), message("m2"))
	if took := time.Since(begin); err == nil || chat.AsError(err).Code != chat.CodeUnknown || took < 900*ms {
		t.Errorf("answered %v after %v, want unknown after all the caller's time", err, took)
	}
	if got := s.arrivals("m2"); got != 1 {
		t.Errorf("the message arrived %d times, want once", got)
	}
}

func TestACallersEndEndsItsSend(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, nil)
	held := f.servers[0].block(t)
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 1)
	go func() {
		_, err := f.Send(ctx, from(f.clientOf(t, f.names, "server-1")), message("m1"))
		answers <- err
	}()
	receive(t, held.entered, "the send to arrive")
	cancel()
	if err := receive(t, answers, "an answer"); err == nil || chat.AsError(err).Code != chat.CodeUnknown {
		t.Errorf("answered %v, want unknown: the server may yet store it", err)
	}
}
