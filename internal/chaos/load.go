package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"multichat/client"
	"multichat/internal/chat"
	"multichat/internal/checker"
)

// LoadConfig says which clients there are.
type LoadConfig struct {
	Seed     uint64
	Proxies  []client.Address
	Users    []chat.UserID // of all clients, in turn: two of them with twice as many clients as users
	Password chat.Secret   // of all users

	Streams, Libraries, Olds int // clients of each kind
	Rate                     int // messages a second of all of them; an old client sends a quarter of what others do

	First   netip.Addr // the address of the first client; each further one has the next
	Journal Journal
	Log     *slog.Logger

	// Only, if it is not 0, makes the load one client, of First's address: the Only-th of all these. The others are other
	// processes' loads.
	Only int
}

// Load is clients that write to each other.
type Load struct {
	cfg     LoadConfig
	clients []worker
	sending atomic.Bool
	working context.Context
	stop    context.CancelFunc
	group   sync.WaitGroup
	failed  chan error // of a client that cannot go on, such as a wrong password; one slot
}

// worker is one client. serve reads, and sends while the load says so, until ctx ends.
type worker interface {
	serve(ctx context.Context) error
	announce(ctx context.Context) error // returns when the client is sure to get what is sent from now on
}

// NewLoad makes a load. It does nothing until Begin.
func NewLoad(cfg LoadConfig) *Load {
	l := &Load{cfg: cfg, failed: make(chan error, 1)}
	addr := cfg.First
	shares := 4*(cfg.Streams+cfg.Libraries) + cfg.Olds // an old client has one, others four
	for i := range cfg.Streams + cfg.Libraries + cfg.Olds {
		if cfg.Only != 0 && i+1 != cfg.Only {
			continue
		}
		p := person{
			load: l,
			name: fmt.Sprintf("c%02d", i+1),
			user: cfg.Users[i%len(cfg.Users)],
			addr: addr,
			rand: rand.New(rand.NewPCG(cfg.Seed, uint64(i)+2)),
			pace: time.Second * time.Duration(shares) / time.Duration(4*cfg.Rate),
		}
		addr = addr.Next()
		switch {
		case i < cfg.Streams:
			l.clients = append(l.clients, newStream(p, i))
		case i < cfg.Streams+cfg.Libraries:
			l.clients = append(l.clients, newLibrary(p, i))
		default:
			p.pace *= 4
			l.clients = append(l.clients, newOld(p, i))
		}
	}
	return l
}

// Begin has all clients read, and announces them. It returns when nothing that is sent from then on may miss one of them.
func (l *Load) Begin(ctx context.Context) error {
	l.working, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, c := range l.clients {
		l.group.Go(func() {
			if err := c.serve(l.working); err != nil && l.working.Err() == nil {
				l.fail(err)
			}
		})
	}
	for _, c := range l.clients {
		if err := c.announce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Send has the clients send, until Pause.
func (l *Load) Send() { l.sending.Store(true) }

// Pause has nobody send anything new.
func (l *Load) Pause() { l.sending.Store(false) }

// End ends the clients. The error is that of one that could not go on.
func (l *Load) End() error {
	l.stop()
	l.group.Wait()
	select {
	case err := <-l.failed:
		return err
	default:
		return nil
	}
}

// Failed tells of a client that could not go on.
func (l *Load) Failed() <-chan error { return l.failed }

func (l *Load) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

// person is what the kinds of clients have in common. Its rand is for one goroutine.
type person struct {
	load *Load
	name string // of the client, in the history
	user chat.UserID
	addr netip.Addr
	rand *rand.Rand
	pace time.Duration // from one message to the next
	sent int
}

// warmUp begins the texts of messages that only show whether a client gets anything; they are no part of the history.
const warmUp = "warm up "

func (p *person) add(r checker.Record) {
	if strings.HasPrefix(r.Text, warmUp) {
		return
	}
	r.Client, r.User = p.name, p.user
	p.load.cfg.Journal.Add(r)
}

// message is what a client is about to send.
type message struct {
	id   chat.MessageID
	to   chat.Mailbox
	text string
}

// next makes up the next message. No other has its text, nor its id.
func (p *person) next() message {
	p.sent++
	m := message{
		id:   chat.MessageID(fmt.Sprintf("%s-%d", p.name, p.sent)),
		to:   chat.Everyone,
		text: fmt.Sprintf("%s %d%s", p.name, p.sent, paddings[p.rand.IntN(len(paddings))]),
	}
	if p.rand.IntN(2) == 0 {
		m.to = p.load.cfg.Users[p.rand.IntN(len(p.load.cfg.Users))].Mailbox()
	}
	return m
}

// paddings are ends of texts: what may stand in one.
var paddings = []string{"", " good morning", ": a:b;c=d%e#f", "\nof two\nlines\n", " ωραία 😀", " \x01\xff\xfe not UTF-8",
	" " + strings.Repeat("long ", 100), "newmsg;id=x;to=%;seq=1;len=1:1:a:b:c\n"}

// sendWhile calls send at the client's pace while the load sends, until ctx ends.
func (p *person) sendWhile(ctx context.Context, send func()) {
	pace := time.NewTicker(p.pace)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
			if p.load.sending.Load() {
				send()
			}
		}
	}
}

// proxy is where the client goes at its i-th try.
func (p *person) proxy(i int) client.Address {
	return p.load.cfg.Proxies[i%len(p.load.cfg.Proxies)]
}

const dialTimeout = 2 * time.Second

// dial connects to a proxy from the client's own address.
func (p *person) dial(ctx context.Context, proxy client.Address) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.addr, 0))}
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(proxy.Host, strconv.Itoa(int(proxy.TCP))))
}

var errNotAnnounced = errors.New("the client gets nothing")
