package edge

import (
	"context"
	"net"
	"time"
)

// backlogTime is for connections that are being made when the edge is told to end: theirs is a round trip.
const backlogTime = 250 * time.Millisecond

// listenTCP listens for clients, and without Multipath TCP: passOver works for plain sockets alone. The kernel's probes of
// silent connections are off: until there is a stream each has its time, and then the edge pings.
func listenTCP(addr string) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	return config.Listen(context.Background(), "tcp", addr)
}

// endBacklog has l make no more connections, and its Accept fail in a while. A client that has connected does not know that
// nobody has accepted yet; to close l at once would reset it, and whatever it has sent.
func endBacklog(l net.Listener) {
	tcp := l.(*net.TCPListener)
	passOver(tcp)
	tcp.SetDeadline(time.Now().Add(backlogTime))
}
