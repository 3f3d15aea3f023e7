package edge

import (
	"net"

	"golang.org/x/sys/unix"
)

// writeLast leaves a plain connection's last line to the kernel, which sends it together with the end of the stream when the
// connection is closed: one packet, for which the client wakes once. It returns what the kernel has not taken, which is all of it if
// the connection is not a plain one.
func writeLast(conn net.Conn, line []byte) (rest []byte) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return line
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return line
	}
	raw.Control(func(fd uintptr) {
		n, err := unix.SendmsgN(int(fd), line, nil, nil, unix.MSG_MORE|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err == nil {
			line = line[n:]
		}
	})
	return line
}
