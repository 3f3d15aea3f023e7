package proxy

import (
	"runtime"
	"testing"

	"multichat/internal/chat"
)

// BenchmarkPoll is a poll's way through the proxy, over its link, to a server that drops it.
func BenchmarkPoll(b *testing.B) {
	f := newFleet(b, 1, nil)
	s := f.servers[0]
	b.ReportAllocs()
	for sent := 1; b.Loop(); sent++ {
		f.Poll(from(aClient), aPoll, nil)
		for sent%1000 == 0 && s.polls(aClient) < sent { // the link is not to drop any
			runtime.Gosched()
		}
	}
}

// BenchmarkKnown is what a poll costs more because a ticket goes with it.
func BenchmarkKnown(b *testing.B) {
	p := newProxy(b)
	p.tickets.KeepTicket(p.holders.of(aPoll.User, aPoll.Password), chat.NewSecret(string(make([]byte, maxTicketBytes))))
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.known(from(aClient), aPoll.User, aPoll.Password)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				p.known(from(aClient), aPoll.User, aPoll.Password)
			}
		})
	})
}
