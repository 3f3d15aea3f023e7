package edge

import (
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"multichat/internal/wire"
)

// datagramsAtOnce is how many datagrams one call to the kernel takes at most. The call is the greatest part of what a poll
// costs, and under load many wait; 32 make its share small, and a reader's room for them stays in the processor's cache.
const datagramsAtOnce = 32

// datagrams takes what has arrived at a socket, many by one call of recvmmsg. It is one reader's, and does not allocate.
type datagrams struct {
	conn    syscall.RawConn
	receive func(fd uintptr) (done bool) // of this one: a new closure for each call would be an allocation
	count   int
	errno   syscall.Errno

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

func newDatagrams(conn *net.UDPConn) (*datagrams, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &datagrams{conn: raw}
	for i := range d.headers {
		d.vectors[i].Base = &d.room[i][0]
		d.vectors[i].SetLen(len(d.room[i]))
		d.headers[i].Iov = &d.vectors[i]
		d.headers[i].SetIovlen(1)
		d.headers[i].Name = (*byte)(unsafe.Pointer(&d.sources[i]))
	}
	d.receive = d.tryReceive
	return d, nil
}

// read waits until a datagram is there, and takes as many as are. They are valid until the next call.
func (d *datagrams) read() (n int, err error) {
	if err := d.conn.Read(d.receive); err != nil {
		return 0, err
	}
	if d.errno != 0 {
		return 0, d.errno
	}
	return d.count, nil
}

// tryReceive is not done as long as nothing is there.
func (d *datagrams) tryReceive(fd uintptr) (done bool) {
	for i := range d.headers {
		d.headers[i].Namelen = unix.SizeofSockaddrInet6 // the kernel has put the last address's size there
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&d.headers[0])), datagramsAtOnce,
			unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		d.count, d.errno = int(n), errno
		return errno != unix.EAGAIN
	}
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
