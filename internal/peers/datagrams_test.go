//go:build linux

package peers

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct of that name: one datagram of many that go by one call.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// datagramsPerCall is how many are sent or received by one call at most.
const datagramsPerCall = 64

// receiveDatagrams takes datagrams in as they come and drops them, many by a call: as little as can be done with them by who does not let
// them gather.
func receiveDatagrams(done *atomic.Int64) (addr string, err error) {
	fd, port, err := listenDatagrams()
	if err != nil {
		return "", err
	}
	go func() {
		runtime.LockOSThread()
		var room [datagramsPerCall][1024]byte
		var vectors [datagramsPerCall]unix.Iovec
		var messages [datagramsPerCall]mmsghdr
		for i := range messages {
			vectors[i].Base = &room[i][0]
			vectors[i].SetLen(len(room[i]))
			messages[i].header.Iov = &vectors[i]
			messages[i].header.SetIovlen(1)
		}
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), datagramsPerCall,
				unix.MSG_WAITFORONE, 0, 0)
			if errno == 0 {
				done.Add(int64(n))
			}
		}
	}()
	return fmt.Sprint("127.0.0.1:", port), nil
}

func listenDatagrams() (fd, port int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	if err != nil {
		return 0, 0, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, err
	}
	return fd, bound.(*unix.SockaddrInet4).Port, nil
}

// flood sends datagrams of many clients, each from an address of its own, at an even pace.
type flood struct {
	fd       int
	target   unix.RawSockaddrInet4
	messages []mmsghdr // one for each client, in the order in which they have their turns
	next     int       // whose turn it is
}

// sourceInfo is the ancillary message that names the address a datagram is sent from.
type sourceInfo struct {
	header unix.Cmsghdr
	info   unix.Inet4Pktinfo
	_      [4]byte
}

// poll is a client's datagram, and where it comes from.
type poll struct {
	from     netip.Addr
	datagram []byte
}

// pollsOf are polls of n clients, each from an address of its own.
func pollsOf(n int, datagram func(client int) []byte) []poll {
	polls := make([]poll, n)
	for i := range polls {
		polls[i] = poll{clientAddress(i), datagram(i)}
	}
	return polls
}

// newFlood makes a flood of one datagram for each client.
func newFlood(t *testing.T, target string, polls []poll) *flood {
	t.Helper()
	to, err := netip.ParseAddrPort(target)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	f := &flood{fd: fd, messages: make([]mmsghdr, len(polls))}
	f.target = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
	port := (*[2]byte)(unsafe.Pointer(&f.target.Port))
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	for i, p := range polls {
		source := &sourceInfo{}
		source.header.Level, source.header.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		source.header.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		source.info.Spec_dst = p.from.As4()
		vector := &unix.Iovec{Base: &p.datagram[0]}
		vector.SetLen(len(p.datagram))
		h := &f.messages[i].header
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&f.target)), unix.SizeofSockaddrInet4
		h.Iov, h.Control = vector, (*byte)(unsafe.Pointer(source))
		h.SetIovlen(1)
		h.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	}
	return f
}

// addresses per block of clientAddress, and blocks.
const (
	inBlock = 250
	blocks  = 250
)

// clientAddress is a client's own: there is one for each of some millions, and none is 127.0.0.x.
func clientAddress(i int) netip.Addr {
	block := i / inBlock
	return netip.AddrFrom4([4]byte{127, byte(block / blocks), byte(1 + block%blocks), byte(1 + i%inBlock)})
}

// run sends so many a second, and returns how many that came to.
func (f *flood) run(t *testing.T, rate float64, turn time.Duration) (sent float64) {
	t.Helper()
	sent, err := f.pour(rate, func(_ int, elapsed time.Duration) bool { return elapsed < turn })
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// once sends one datagram of each client.
func (f *flood) once(t *testing.T) {
	t.Helper()
	if _, err := f.pour(math.MaxInt32, func(sent int, _ time.Duration) bool { return sent < len(f.messages) }); err != nil {
		t.Fatal(err)
	}
}

// goOn sends so many a second until it is stopped, or the test ends.
func (f *flood) goOn(t *testing.T, rate float64) (stop func()) {
	var stopped atomic.Bool
	ended := make(chan error)
	go func() {
		_, err := f.pour(rate, func(int, time.Duration) bool { return !stopped.Load() })
		ended <- err
	}()
	stop = sync.OnceFunc(func() {
		stopped.Store(true)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// pour sends at a rate while it is to go on.
func (f *flood) pour(rate float64, goesOn func(sent int, elapsed time.Duration) bool) (sent float64, err error) {
	begin, total := time.Now(), 0
	for {
		elapsed := time.Since(begin)
		if !goesOn(total, elapsed) {
			return float64(total), nil
		}
		due := int(rate*elapsed.Seconds()) - total
		if due < min(datagramsPerCall/4, len(f.messages)) {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		count := min(due, datagramsPerCall, len(f.messages)-f.next)
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&f.messages[f.next])), uintptr(count), 0, 0, 0)
		switch errno {
		case 0:
			total += int(n)
			f.next = (f.next + int(n)) % len(f.messages)
		case unix.ECONNREFUSED, unix.EINTR:
		default:
			return float64(total), fmt.Errorf("send datagrams: %w", errno)
		}
	}
}
