package edge

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bindLate has the kernel choose a connection's own port when it connects, and not when it binds to the address. At the bind
// it does not know the destination yet, so a port counts as taken for a minute after any connection from it: at some
// hundred messages a second hardly a port is free, and each search for one takes milliseconds.
func bindLate(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // without it, it is only slower
	})
}
