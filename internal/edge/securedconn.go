package edge

import (
	"crypto/tls"
	"io"
	"net"
)

// securedConn is a client's connection over TLS. Unlike crypto/tls, it tells the end that a client declared from a
// connection that ended without: the text of a version 1 message goes to its end, and whoever can close a connection
// between two records must not be able to shorten it.
type securedConn struct {
	*tls.Conn
	raw   *rawConn
	begun bool // something was read
}

func newSecuredConn(conn net.Conn, config *tls.Config) *securedConn {
	raw := &rawConn{Conn: conn}
	return &securedConn{Conn: tls.Server(raw, config), raw: raw}
}

// Read fails with io.ErrUnexpectedEOF when the connection was cut after something had been read.
func (c *securedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.begun = true
	}
	if err == io.EOF && c.raw.ended && c.begun {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// rawConn is what TLS is spoken over. TLS that has read its own end does not look for this one.
type rawConn struct {
	net.Conn
	ended bool // it was read to its end
}

func (c *rawConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF {
		c.ended = true
	}
	return n, err
}
