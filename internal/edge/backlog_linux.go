package edge

import (
	"net"

	"golang.org/x/sys/unix"
)

// What a filter sees of a TCP packet begins with its header.
const (
	tcpFlags = 13 // the offset
	tcpSYN   = 0x02
	tcpACK   = 0x10
)

// passOver has the kernel drop what asks l for a new connection, and nothing else: a client that is half connected goes on.
// Whoever is dropped asks again after a second, when another process may listen. If the kernel cannot do that, connections
// are made until l is closed.
func passOver(l *net.TCPListener) {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: tcpFlags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: tcpSYN | tcpACK},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: tcpSYN, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},         // a SYN alone: nothing of it
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1}, // all of it
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}
