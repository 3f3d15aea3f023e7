//go:build linux

package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
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

// receiveDatagrams takes datagrams in and drops them, many by a call: what nobody who relays them can be cheaper than.
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
}

// sourceInfo is the ancillary message that names the address a datagram is sent from.
type sourceInfo struct {
	header unix.Cmsghdr
	info   unix.Inet4Pktinfo
	_      [4]byte
}

// newFlood makes a flood of one datagram for each client. Client i has the i-th address from 127.0.1.1 on.
func newFlood(t *testing.T, target string, datagrams [][]byte) *flood {
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
	f := &flood{fd: fd, messages: make([]mmsghdr, len(datagrams))}
	f.target = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
	port := (*[2]byte)(unsafe.Pointer(&f.target.Port))
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	for i, d := range datagrams {
		source := &sourceInfo{}
		source.header.Level, source.header.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		source.header.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		source.info.Spec_dst = clientAddress(i).As4()
		vector := &unix.Iovec{Base: &d[0]}
		vector.SetLen(len(d))
		h := &f.messages[i].header
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&f.target)), unix.SizeofSockaddrInet4
		h.Iov, h.Control = vector, (*byte)(unsafe.Pointer(source))
		h.SetIovlen(1)
		h.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	}
	return f
}

// clientAddress is a client's own.
func clientAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, byte(1 + i/250), byte(1 + i%250)})
}

// run sends so many a second, and returns how many that came to.
func (f *flood) run(t *testing.T, rate float64, turn time.Duration) (sent float64) {
	t.Helper()
	begin, next, total := time.Now(), 0, 0
	for {
		elapsed := time.Since(begin)
		if elapsed >= turn {
			return float64(total)
		}
		due := int(rate*elapsed.Seconds()) - total
		if due < datagramsPerCall/4 {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		count := min(due, datagramsPerCall, len(f.messages)-next)
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&f.messages[next])), uintptr(count), 0, 0, 0)
		if errno != 0 && errno != unix.ECONNREFUSED && errno != unix.EINTR {
			t.Fatalf("send datagrams: %v", errno)
		}
		if errno == 0 {
			total += int(n)
			next = (next + int(n)) % len(f.messages)
		}
	}
}
