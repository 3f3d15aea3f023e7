package remote

import (
	"context"
	"encoding/gob"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multichat/internal/chaos"
	"multichat/internal/checker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// actor is the other end of a crew's client, by hand.
type actor struct {
	t    *testing.T
	conn net.Conn
	out  *gob.Encoder
	in   *gob.Decoder
}

func newTestCrew(t *testing.T, n int) (*Crew, *chaos.Recorder, []*actor) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "driver"))
	if err != nil {
		t.Fatal(err)
	}
	recorder := chaos.NewRecorder(io.Discard)
	crew := NewCrew(listener, Task{Streams: n, Users: nil, Password: "demo"}, recorder)
	var actors []*actor
	for i := range n {
		conn, err := net.Dial("unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		a := &actor{t: t, conn: conn, out: gob.NewEncoder(conn), in: gob.NewDecoder(conn)}
		a.say(hello{Number: i + 1})
		actors = append(actors, a)
	}
	return crew, recorder, actors
}

func (a *actor) say(what any) {
	a.t.Helper()
	if err := a.out.Encode(what); err != nil {
		a.t.Error(err)
	}
}

func (a *actor) wantOrder(want order) {
	a.t.Helper()
	var o order
	if err := a.in.Decode(&o); err != nil || o != want {
		a.t.Errorf("the order is %q, error %v; want %q", o, err, want)
	}
}

func (a *actor) begin() {
	a.t.Helper()
	var task Task
	if err := a.in.Decode(&task); err != nil || task.Password != "demo" {
		a.t.Errorf("the task is %+v, error %v", task, err)
	}
	a.say(line{Begun: true, Record: checker.Record{At: chaos.Clock()}})
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestACrewTellsTheRecorderWhatItsClientsTell(t *testing.T) {
	crew, recorder, actors := newTestCrew(t, 2)
	for _, a := range actors {
		go a.begin()
	}
	if err := crew.Begin(within(t)); err != nil {
		t.Fatal(err)
	}
	now := chaos.Clock()
	tell := func(a *actor, r checker.Record, after time.Duration) {
		r.At = now + after
		a.say(line{Record: r})
	}
	tell(actors[0], checker.Record{Kind: checker.Device, Client: "c1", User: "alice", Version: 2}, 1)
	tell(actors[0], checker.Record{Kind: checker.Delivery, Client: "c1", User: "alice", From: "bob", To: "alice", Text: "\xff"}, 3) // told before it was sent
	tell(actors[1], checker.Record{Kind: checker.Attempt, Client: "c2", User: "bob", To: "alice", Text: "\xff"}, 2)
	tell(actors[1], checker.Record{Kind: checker.OK, Client: "c2", User: "bob", Text: "\xff", Seq: 7}, 4)
	crew.Send()
	crew.Pause()
	for _, a := range actors {
		a.wantOrder(send)
		a.wantOrder(pause)
		go func() {
			a.wantOrder(end)
			a.conn.Close()
		}()
	}
	if err := crew.End(); err != nil {
		t.Error(err)
	}
	report, err := recorder.Close()
	if err != nil || report.Acked != 1 || report.Delivered != 1 || report.Unexpected != 0 {
		t.Errorf("error %v, report\n%s", err, report.String())
	}
}

func TestAClientThatGoesEndsTheRunWithAnError(t *testing.T) {
	for _, test := range []struct {
		name, want string
		leave      func(*actor)
	}{
		{"it dies", "client 1 has gone", func(*actor) {}},
		{"it says why", "the password is wrong", func(a *actor) { a.say(line{Failed: "the password is wrong"}) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			crew, recorder, actors := newTestCrew(t, 1)
			go func() {
				var task Task
				actors[0].in.Decode(&task)
				test.leave(actors[0])
				actors[0].conn.Close()
			}()
			if err := crew.Begin(within(t)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Begin: %v, want %q", err, test.want)
			}
			if err := crew.End(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("End: %v, want %q", err, test.want)
			}
			recorder.Close()
		})
	}
}

func TestANumberIsOneClients(t *testing.T) {
	crew, recorder, actors := newTestCrew(t, 1)
	conn, err := net.Dial("unix", actors[0].conn.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	gob.NewEncoder(conn).Encode(hello{Number: 1})
	if err := crew.Begin(within(t)); err == nil || !strings.Contains(err.Error(), "number 1, which is taken") {
		t.Errorf("Begin: %v", err)
	}
	actors[0].conn.Close()
	crew.End()
	recorder.Close()
}

func TestAClientWhoseDriverHasGoneEnds(t *testing.T) {
	driver, conn := net.Pipe()
	go func() {
		var h hello
		if err := gob.NewDecoder(driver).Decode(&h); err != nil || h.Number != 3 {
			t.Errorf("the hello is %+v, error %v", h, err)
		}
		driver.Close()
	}()
	err := Serve(within(t), conn, 3, netip.MustParseAddr("127.0.0.1"))
	if err == nil || !strings.Contains(err.Error(), "reading the task") {
		t.Errorf("it ends with the error %v", err)
	}
}
