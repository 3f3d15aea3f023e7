package link

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// ErrOtherPeer says that whoever answered is not the node that was dialled.
var ErrOtherPeer = errors.New("another node answered than the one that was dialled")

// The version that this build speaks, and the oldest that it understands: the one before its own.
const (
	version       = 2
	oldestVersion = 1

	streamsVersion = 2 // the first with streams and tickets
)

const maxNodeName = 255 // bytes

type role byte

const (
	roleProxy  role = 1
	roleServer role = 2
)

func (r role) String() string {
	switch r {
	case roleProxy:
		return "a proxy"
	case roleServer:
		return "a server"
	}
	return fmt.Sprintf("a node of unknown role %d", byte(r))
}

// hello is how a node introduces itself.
type hello struct {
	version uint16
	oldest  uint16
	role    role
	name    string
}

func newHello(r role, name string) hello {
	return hello{version: version, oldest: oldestVersion, role: r, name: name}
}

func appendHello(b []byte, h hello) []byte {
	b = binary.BigEndian.AppendUint16(b, h.version)
	b = binary.BigEndian.AppendUint16(b, h.oldest)
	return appendString(append(b, byte(h.role)), h.name)
}

// decodeHello passes over what follows the fields it knows: later versions may say more.
func decodeHello(b []byte) (hello, error) {
	d := decoder{b: b}
	h := hello{version: d.uint16(), oldest: d.uint16(), role: role(d.uint8()), name: d.string()}
	if d.bad || h.name == "" || len(h.name) > maxNodeName {
		return hello{}, fmt.Errorf("reading the hello: %w", errMalformed)
	}
	return h, nil
}

// common is the version that two nodes speak with each other, if they do.
func (h hello) common(theirs hello) uint16 { return min(h.version, theirs.version) }

// accept says what is wrong with the hello of the other end, which should have role want.
func (h hello) accept(theirs hello, want role) error {
	if common := h.common(theirs); common < h.oldest || common < theirs.oldest {
		return fmt.Errorf("%q speaks version %d of the link (and understands %d), this node %d (and %d): "+
			"upgrade one release at a time", theirs.name, theirs.version, theirs.oldest, h.version, h.oldest)
	}
	if theirs.role != want {
		return fmt.Errorf("%w: %q is %s, not %s", ErrOtherPeer, theirs.name, theirs.role, want)
	}
	return nil
}

// exchange says hello and hears the other's. Both speak first, so that both can say what is wrong.
func exchange(conn net.Conn, ours hello, want role) (*frameReader, hello, error) {
	b := appendHello(beginFrame(nil, kindHello, 0), ours)
	if err := endFrame(b, 0); err != nil {
		return nil, hello{}, err
	}
	if _, err := conn.Write(b); err != nil {
		return nil, hello{}, fmt.Errorf("saying hello: %w", err)
	}
	in := newFrameReader(conn)
	f, err := in.next(maxHello)
	switch {
	case err == io.EOF:
		return nil, hello{}, errors.New("the other end hung up instead of saying hello; its log says why")
	case err != nil:
		return nil, hello{}, fmt.Errorf("waiting for the hello: %w", err)
	case f.kind != kindHello:
		return nil, hello{}, fmt.Errorf("the other end began with a frame of kind %d instead of a hello", f.kind)
	}
	theirs, err := decodeHello(f.body)
	if err != nil {
		return nil, hello{}, err
	}
	return in, theirs, ours.accept(theirs, want)
}

// greet does the handshake of TLS and exchanges hellos, unless ctx ends first. It leaves conn's closing to the caller.
func greet(ctx context.Context, conn net.Conn, ours hello, want role) (*frameReader, hello, error) {
	stop := context.AfterFunc(ctx, func() { hangUp(conn) })
	defer stop()

	if secured, ok := conn.(*tls.Conn); ok {
		if err := secured.Handshake(); err != nil {
			return nil, hello{}, orCause(ctx, keyError(err))
		}
	}
	in, theirs, err := exchange(conn, ours, want)
	if err != nil {
		return nil, hello{}, orCause(ctx, keyError(err))
	}
	return in, theirs, nil
}

// withHandshakeLimit bounds what an unproven peer can hold up.
func withHandshakeLimit(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the handshake took longer than %v", limit))
}

// orCause prefers why ctx ended, if it did, to err, which is only what that looked like.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func checkNode(name string) error {
	if name == "" || len(name) > maxNodeName {
		return fmt.Errorf("the node's name %q must have 1 to %d bytes", name, maxNodeName)
	}
	return nil
}
