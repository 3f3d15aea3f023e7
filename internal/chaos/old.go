package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/checker"
	"multichat/internal/wire"
)

// old is a client of version 1: it polls once a second, takes one message from each connection, and sends each message over
// one of its own. It knows one proxy, and goes on with that when it comes back.
type old struct {
	person
	proxy    client.Address
	listener net.Listener
	port     uint16 // as it is printed in polls
	warmed   atomic.Bool
	warm     chan struct{} // closed when the first message has come
}

func newOld(p person, i int) *old {
	o := &old{person: p, proxy: p.proxy(i), warm: make(chan struct{})}
	var err error
	if o.listener, o.port, err = listen(p.addr); err != nil {
		panic(fmt.Sprintf("chaos: %s: %v", p.name, err))
	}
	if i%2 == 0 {
		o.port = bits.ReverseBytes16(o.port) // as the older generation prints it
	}
	return o
}

// listen opens a port whose both readings are ports that a system may dial.
func listen(addr netip.Addr) (net.Listener, uint16, error) {
	for range 1000 {
		l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		if err != nil {
			return nil, 0, err
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		if itself, swapped := wire.Readings(port); itself != swapped && swapped >= wire.MinListenPort {
			return l, port, nil
		}
		l.Close()
	}
	return nil, 0, errors.New("no port with two readings is free")
}

// announce sends the client a message of its own until one has come.
func (o *old) announce(ctx context.Context) error {
	for i := 0; ; i++ {
		o.deliver(ctx, message{to: o.user.Mailbox(), text: fmt.Sprintf("%s%s %d", warmUp, o.name, i)})
		select {
		case <-o.warm:
			o.add(checker.Record{Kind: checker.Device, Version: 1})
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", o.name, errNotAnnounced)
		case <-time.After(time.Second):
		}
	}
}

func (o *old) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { o.listener.Close() })
	defer stop()
	var group sync.WaitGroup
	var polling error
	group.Go(func() { polling = o.poll(ctx) })
	group.Go(func() { o.sendWhile(ctx, func() { o.deliver(ctx, o.next()) }) })
	o.accept()
	group.Wait()
	return polling
}

func (o *old) poll(ctx context.Context) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(o.addr, 0)))
	if err != nil {
		return err
	}
	defer conn.Close()
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(o.proxy.Host), o.proxy.UDP))
	poll := fmt.Appendf(nil, "poll:%s:%s:%d", o.user, o.load.cfg.Password.Reveal(), o.port)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		conn.WriteToUDP(poll, to) // a proxy that is away does not matter: the next poll is a second away
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// accept takes one message from each connection until the listener is closed.
func (o *old) accept() {
	for {
		conn, err := o.listener.Accept()
		if err != nil {
			return
		}
		conn.SetDeadline(time.Now().Add(answerTimeout))
		// What ends otherwise than in order was not read: it has no receipt, and comes again.
		if data, err := io.ReadAll(conn); err == nil && len(data) > 0 {
			o.take(data)
		}
		conn.Close()
	}
}

func (o *old) take(data []byte) {
	m, err := wire.DecodeNewmsg(data)
	if err != nil {
		o.add(checker.Record{Kind: checker.Delivery, Text: fmt.Sprintf("not a newmsg: %q", data)}) // which nobody sent
		return
	}
	if o.warmed.CompareAndSwap(false, true) {
		close(o.warm)
	}
	o.add(checker.Record{Kind: checker.Delivery, From: m.From, Text: string(m.Text)})
}

// deliver sends one message and waits for its answer.
func (o *old) deliver(ctx context.Context, m message) {
	o.add(checker.Record{Kind: checker.Attempt, To: m.to, Text: m.text})
	o.add(o.ask(ctx, m))
}

// ask sends a message, and is how that ended. Before the end of file nothing was sent; behind it, nobody knows.
func (o *old) ask(ctx context.Context, m message) checker.Record {
	conn, err := o.dial(ctx, o.proxy)
	if err != nil {
		return checker.Record{Kind: checker.Err, Text: m.text}
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerTimeout))
	request := wire.Wrmsg{User: o.user, Password: o.load.cfg.Password, To: m.to, Text: []byte(m.text)}
	if _, err := conn.Write(wire.AppendWrmsg(nil, request)); err != nil {
		return checker.Record{Kind: checker.Err, Text: m.text}
	}
	conn.(*net.TCPConn).CloseWrite()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return checker.Record{Kind: checker.Unknown, Text: m.text}
	}
	reply, err := wire.DecodeReply([]byte(strings.TrimSuffix(line, "\n")))
	switch {
	case err != nil:
		return checker.Record{Kind: checker.Delivery, Text: fmt.Sprintf("not an answer: %q", line)} // which nobody sent
	case reply.Err == nil:
		return checker.Record{Kind: checker.OK, Text: m.text, Seq: reply.Seq}
	case reply.Err.Code == chat.CodeUnknown:
		return checker.Record{Kind: checker.Unknown, Text: m.text, Code: chat.CodeUnknown}
	}
	return checker.Record{Kind: checker.Err, Text: m.text, Code: reply.Err.Code}
}
