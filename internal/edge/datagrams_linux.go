package edge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"multichat/internal/wire"
)

// datagramsAtOnce is how many datagrams one call to the kernel takes at most. The call is the greatest part of what a poll
// costs, and under load many wait; 128 make its share small, and a reader's room for them stays in the processor's cache.
const datagramsAtOnce = 128

// pollSocket is a socket that the runtime does not watch: what watches one is woken by each datagram that comes, also while nobody
// waits for any, and that was half of what polls cost. Whoever reads it blocks a thread.
type pollSocket struct {
	fd          int
	interrupted atomic.Bool

	mu     sync.Mutex
	closed bool // fd may be another's by now
}

// takeSocket takes the socket of a connection, which it closes, whatever it returns.
func takeSocket(conn *net.UDPConn) (*pollSocket, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := new(pollSocket)
	var failed error
	err = raw.Control(func(fd uintptr) {
		s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("take the socket of polls: %w", err)
	}
	if err := unix.SetNonblock(s.fd, false); err != nil {
		s.close()
		return nil, fmt.Errorf("take the socket of polls: %w", err)
	}
	return s, nil
}

// interrupt has nobody wait for datagrams any more. Those that have come, and those that still come, can be read.
func (s *pollSocket) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.interrupted.Store(true)
	unix.Shutdown(s.fd, unix.SHUT_RD) // it says that nobody is connected, and wakes readers all the same
}

// close must come when nobody reads any more. An interrupt may come later.
func (s *pollSocket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	unix.Close(s.fd)
}

// datagrams takes what has arrived at a socket, many by one call of recvmmsg. It is one reader's, and does not allocate.
type datagrams struct {
	socket *pollSocket

	headers [datagramsAtOnce]messageHeader
	vectors [datagramsAtOnce]unix.Iovec
	sources [datagramsAtOnce]unix.RawSockaddrInet6 // which has room for an IPv4 address too
	room    [datagramsAtOnce][wire.MaxPoll + 1]byte
}

// messageHeader is the kernel's struct mmsghdr.
type messageHeader struct {
	unix.Msghdr
	length uint32 // of the datagram; it is cut to its room
}

func newDatagrams(s *pollSocket) *datagrams {
	d := &datagrams{socket: s}
	for i := range d.headers {
		d.vectors[i].Base = &d.room[i][0]
		d.vectors[i].SetLen(len(d.room[i]))
		d.headers[i].Iov = &d.vectors[i]
		d.headers[i].SetIovlen(1)
		d.headers[i].Name = (*byte)(unsafe.Pointer(&d.sources[i]))
	}
	return d
}

// read waits until a datagram is there, and takes as many as are; none if it was interrupted. They are valid until the next call.
func (d *datagrams) read() (n int, err error) { return d.receive(unix.MSG_WAITFORONE) }

// tryRead takes as many datagrams as are there, which may be none. They are valid until the next call.
func (d *datagrams) tryRead() (n int, err error) { return d.receive(unix.MSG_DONTWAIT) }

func (d *datagrams) receive(flags uintptr) (n int, err error) {
	for i := range d.headers {
		d.headers[i].Namelen = unix.SizeofSockaddrInet6 // the kernel has put the last address's size there
	}
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(d.socket.fd), uintptr(unsafe.Pointer(&d.headers[0])), datagramsAtOnce, flags, 0, 0)
	switch errno {
	case 0:
		return d.come(int(got)), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// come is how many of those that the kernel counts have come: once it is interrupted, it gives empty ones of nobody.
func (d *datagrams) come(n int) int {
	if !d.socket.interrupted.Load() {
		return n
	}
	for i := range n {
		if d.headers[i].length == 0 {
			return i
		}
	}
	return n
}

// at is the i-th datagram that was read, and the address that it is from, without a port and a zone.
func (d *datagrams) at(i int) (datagram []byte, from netip.Addr) {
	return d.room[i][:d.headers[i].length], addressOf(&d.sources[i])
}

func addressOf(source *unix.RawSockaddrInet6) netip.Addr {
	if source.Family == unix.AF_INET {
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(source)).Addr)
	}
	return netip.AddrFrom16(source.Addr).Unmap()
}
