package edge

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A port that one connection of this address has is free for one to another destination: else a busy dial-back soon finds
// hardly a free one, and searches for it in the kernel.
func TestConnectionsToDifferentClientsShareAPort(t *testing.T) {
	t.Parallel()
	low := ephemeralPort(t)
	if !canLimitPorts(t) {
		t.Skip("Linux 6.3 or later is needed, to have the kernel choose among two ports")
	}
	d := newDialBack(netip.MustParseAddr("127.0.0.1"), 1, slog.New(slog.DiscardHandler))
	late := d.dialer.Control
	d.dialer.Control = func(network, address string, c syscall.RawConn) error {
		if err := c.Control(func(fd uintptr) {
			if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, (low+1)<<16|low); err != nil {
				t.Error(err)
			}
		}); err != nil {
			return err
		}
		return late(network, address, c)
	}
	for i := range 6 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		conn, err := d.dialer.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatalf("connection %d, each to another destination, among two ports: %v", i+1, err)
		}
		defer conn.Close()
	}
}

func canLimitPorts(t *testing.T) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_, err = unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE)
	return err == nil
}

// ephemeralPort is a port that was free a moment ago, as is the next one, from the range that the kernel chooses from.
func ephemeralPort(t *testing.T) int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(strings.Fields(string(b))[0])
	if err != nil {
		t.Fatal(err)
	}
	for port := first; ; port += 2 {
		a, errA := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		b, errB := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1)))
		if errA == nil {
			a.Close()
		}
		if errB == nil {
			b.Close()
		}
		if errA == nil && errB == nil {
			return port
		}
	}
}
