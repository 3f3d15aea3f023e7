package edge

import (
	"net"

	"golang.org/x/sys/unix"
)

// writeLast leaves a plain connection's last line to the kernel, which sends it together with the end of the stream when the
// connection is closed: one packet, for which the client wakes once. It is false if the kernel has not taken the line, or the
// connection is not a plain one; then nothing of it was written.
func writeLast(conn net.Conn, line []byte) (taken bool) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) {
		n, err := unix.SendmsgN(int(fd), line, nil, nil, unix.MSG_MORE|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		taken = err == nil && n == len(line)
	})
	return taken
}
