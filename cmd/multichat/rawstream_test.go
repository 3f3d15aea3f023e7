package main_test

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// rawStream speaks version 2 over plain sockets, as the protocol asks of a client. Told bye, it sends nothing more there,
// waits for what is unanswered, and goes on at the next proxy; and what is unanswered when a connection is lost, or is
// refused for the moment, it sends again under its id. One goroutine has it.
type rawStream struct {
	crowd  *crowd
	user   string
	ip     string
	gates  []gate
	sender *sender // nil: it only reads
	reader *reader // nil: it only sends

	flights []*flight
	shown   map[string]int64 // the newest seq of each mailbox
	read    int              // how much of the present connection's messages was looked at

	byes atomic.Int32 // connections that ended as a bye said
	lost atomic.Int32 // connections that ended otherwise
	cut  atomic.Int32 // messages that a proxy left unanswered after it had said bye
}

// flight is a message that is not answered for good.
type flight struct {
	n       int
	flying  bool
	due     time.Time // when it is to be sent again, if it does not fly
	refused int
}

const rawWindow = 200 // unanswered messages, at most

// sendRaw sends over streams of its own, many messages unanswered at a time.
func (c *crowd) sendRaw(user, to, ip string, gates ...gate) *rawStream {
	s := &rawStream{crowd: c, user: user, ip: ip, gates: gates, sender: c.addSender(user+" raw", to)}
	c.sending.Go(s.serve)
	return s
}

// readRaw reads over streams of its own, one after another.
func (c *crowd) readRaw(user, device, ip string, gates ...gate) *rawStream {
	s := &rawStream{crowd: c, user: user, ip: ip, gates: gates, reader: c.addReader(device, user), shown: make(map[string]int64)}
	c.reading.Go(s.serve)
	return s
}

func (s *rawStream) serve() {
	for i := 0; !s.done(); i++ {
		conn, err := dialStream(s.ip, s.gates[i%len(s.gates)].tcp, nil)
		if err == nil {
			err = s.attend(conn)
		}
		if err != nil {
			time.Sleep(crowdPace)
		}
	}
}

func (s *rawStream) done() bool {
	ended := s.crowd.ctx.Err() != nil
	if s.sender == nil {
		return ended
	}
	select {
	case <-s.crowd.stop:
		return ended || len(s.flights) == 0
	default:
		return ended
	}
}

// attend logs in on a connection, and goes on until that has ended. The error is that of the login.
func (s *rawStream) attend(conn net.Conn) error {
	attribute := "push=0"
	if s.reader != nil {
		attribute = "dev=" + s.reader.name
	}
	stream, err := logIn(conn, s.user, attribute, "demo", false)
	defer stream.close()
	if err != nil {
		return err
	}
	for _, f := range s.flights {
		f.flying, f.due = false, time.Time{}
	}
	s.read = 0
	pace := time.NewTicker(crowdPace)
	defer pace.Stop()
	for {
		leaving, ended, news := s.look(stream)
		switch {
		case leaving && len(s.flights) == 0:
			s.byes.Add(1)
			return nil
		case ended && leaving:
			s.byes.Add(1)
			s.cut.Add(int32(len(s.flights)))
			return nil
		case ended:
			s.lost.Add(1)
			return nil
		case s.done():
			return nil
		}
		select {
		case <-news:
		case <-s.crowd.ctx.Done():
		case <-pace.C:
			if !leaving {
				s.send(stream)
			}
		}
	}
}

// look takes what was read from a stream.
func (s *rawStream) look(stream *streamClient) (leaving, ended bool, news <-chan struct{}) {
	stream.mu.Lock()
	defer stream.mu.Unlock()
	s.flights = slices.DeleteFunc(s.flights, func(f *flight) bool {
		id := s.id(f.n)
		reply := stream.replies[id]
		delete(stream.replies, id)
		return reply != "" && s.answered(f, reply)
	})
	for _, m := range stream.got[s.read:] {
		if m.seq > s.shown[m.mailbox] { // what comes again is not shown
			s.shown[m.mailbox] = m.seq
			s.reader.take(m.text)
		}
	}
	s.read = len(stream.got)
	return stream.leaving, stream.ended != nil, stream.news
}

// answered takes an answer, and says whether it is for good.
func (s *rawStream) answered(f *flight, reply string) bool {
	_, rest, _ := strings.Cut(reply, ":")
	code, _, _ := strings.Cut(rest, ":")
	switch {
	case strings.HasPrefix(reply, "ok;"):
		s.sender.answered(f.n, "")
		return true
	case code == "unknown" || code == "unavail" || code == "busy":
		s.sender.refused(f.n, reply)
		f.refused++
		f.flying, f.due = false, time.Now().Add(100*time.Millisecond)
		return false
	}
	s.sender.answered(f.n, reply)
	return true
}

func (s *rawStream) id(n int) string {
	return strings.ReplaceAll(s.sender.name, " ", "-") + "-" + strconv.Itoa(n)
}

// send sends what is to be sent now: what is unanswered and does not fly, and one new message.
func (s *rawStream) send(stream *streamClient) {
	if s.sender == nil {
		return
	}
	for _, f := range s.flights {
		if !f.flying && !time.Now().Before(f.due) {
			f.flying = stream.post(s.id(f.n), s.sender.to, s.sender.text(f.n)) == nil
		}
	}
	select {
	case <-s.crowd.stop:
		return
	default:
	}
	if len(s.flights) < rawWindow {
		n, text := s.sender.begin()
		s.flights = append(s.flights, &flight{n: n, flying: stream.post(s.id(n), s.sender.to, text) == nil})
	}
}

func (s *rawStream) String() string {
	return fmt.Sprintf("%d streams ended with bye and %d without, %d messages were left unanswered after a bye",
		s.byes.Load(), s.lost.Load(), s.cut.Load())
}
