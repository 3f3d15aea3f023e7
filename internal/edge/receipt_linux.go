package edge

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

var errClosedEarly = errors.New("the peer closed before it had read to the end")

// checkOrder tells a receipt from a close that crossed what was sent. A peer that closes as soon as it has accepted, as
// port forwarders do that have nobody behind them, looks to Read like a client that has read all. But the close of one
// that has read to the end acknowledges our half-close too; then the kernel has no more to do with the connection.
func checkOrder(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var order error
	if err := raw.Control(func(fd uintptr) { order = checkSocket(int(fd)) }); err != nil {
		return err
	}
	return order
}

func checkSocket(fd int) error {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return nil // a kernel that does not say; then the close has to do
	}
	switch info.State {
	case unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK, unix.BPF_TCP_CLOSING:
		return errClosedEarly // our end is not acknowledged
	}
	// A reset may have come since, in answer to what was sent to the closed socket. Read does not show it behind an end.
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}
