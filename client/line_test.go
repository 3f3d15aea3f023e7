package client

import (
	"fmt"
	"net"
	"testing"

	"multichat/internal/chat"
)

// newLine makes a line as attend does, and the proxy's end of it.
func newLine(t *testing.T, s *serving) (*line, *far) {
	near, conn := net.Pipe()
	t.Cleanup(func() { near.Close() })
	return &line{Stream: s.Stream, conn: near, gone: make(chan struct{})}, newFar(t, conn)
}

// After a message that found no room, none may be taken from the same connection: the ack of a later one would be for it
// too.
func TestAMessageThatIsDroppedTakesTheLaterOnesWithIt(t *testing.T) {
	s := stream(t, nil, Address{Host: "127.0.0.1", TCP: 1})
	l, _ := newLine(t, s)
	for i := range maxDeliveries {
		if err := l.handleMessage(message(chat.Seq(i+1), "a")); err != nil {
			t.Fatal(err)
		}
	}
	close(l.gone)
	for i := range 2 {
		if err := l.handleMessage(message(chat.Seq(maxDeliveries+i+1), "a")); err != nil {
			t.Fatal(err)
		}
		<-s.deliveries // so there is room for the second
	}
	for len(s.deliveries) > 0 {
		if m := <-s.deliveries; m.Seq > maxDeliveries {
			t.Errorf("%d goes to Take", m.Seq)
		}
	}
}

// A proxy that replaces a stream and closes may be noticed first by a write that fails. What it said counts.
func TestTheLastWordsOfAProxyAreHeard(t *testing.T) {
	s := stream(t, nil, Address{Host: "127.0.0.1", TCP: 1})
	l, f := newLine(t, s)
	reading := make(chan error, 1)
	go func() { reading <- l.read() }()
	f.write(message(1, "a"), replaced)
	f.conn.Close()
	wantCode(t, l.hangUp(fmt.Errorf("%w: reset", errWriting), reading), chat.CodeReplaced)
}
