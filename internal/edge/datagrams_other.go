//go:build !linux

package edge

import (
	"net"
	"net/netip"

	"multichat/internal/wire"
)

// datagramsAtOnce is how many datagrams one call to the kernel takes at most.
const datagramsAtOnce = 1

// pollSocket is where polls arrive.
type pollSocket struct{ conn *net.UDPConn }

func takeSocket(conn *net.UDPConn) (*pollSocket, error) { return &pollSocket{conn}, nil }

// interrupt wakes who waits for datagrams. No more come.
func (s *pollSocket) interrupt() { s.conn.Close() }

func (s *pollSocket) close() { s.conn.Close() }

// datagrams takes what has arrived at a socket, one by one. It is one reader's, and does not allocate.
type datagrams struct {
	conn   *net.UDPConn
	length int
	source netip.AddrPort
	room   [wire.MaxPoll + 1]byte
}

func newDatagrams(s *pollSocket) *datagrams { return &datagrams{conn: s.conn} }

// read waits for a datagram. It is valid until the next call.
func (d *datagrams) read() (n int, err error) {
	d.length, d.source, err = d.conn.ReadFromUDPAddrPort(d.room[:])
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// tryRead takes nothing: to look without waiting is for Linux alone.
func (d *datagrams) tryRead() (n int, err error) { return 0, nil }

// at is the datagram that was read, and the address that it is from, without a port and a zone.
func (d *datagrams) at(int) (datagram []byte, from netip.Addr) {
	return d.room[:d.length], d.source.Addr().Unmap().WithZone("")
}
