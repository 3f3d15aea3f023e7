package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// resolveTimeout bounds one look-up of a host name.
const resolveTimeout = 2 * time.Second

// advertiseAddr is the address under which the others find a node that is bound to bind: the host it was told to
// advertise, else the bound address, else, when that is unspecified, the address this machine talks to others from.
func advertiseAddr(ctx context.Context, bind netip.Addr, host string) (netip.Addr, error) {
	if host == "" {
		if !bind.IsUnspecified() {
			return bind, nil
		}
		return outgoingAddr(), nil
	}
	addrs, err := resolve(ctx, host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("resolve the host to advertise: %w", err)
	}
	if addrs[0].IsUnspecified() {
		return netip.Addr{}, fmt.Errorf("the host to advertise, %s, is no address that others can reach", host)
	}
	return addrs[0], nil
}

// outgoingAddr is the source address of the default route, else an interface's private address, else any other one of
// an interface, else loopback.
func outgoingAddr() netip.Addr {
	// Connecting a UDP socket sends nothing; it only asks the routing table. The addresses are of documentation ranges.
	for _, remote := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		if conn, err := net.Dial("udp", remote); err == nil {
			local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
			conn.Close()
			if local.IsGlobalUnicast() {
				return local
			}
		}
	}
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addrs, _ := net.InterfaceAddrs() // without an answer there is loopback
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if best = prefix.Addr().Unmap(); best.IsPrivate() {
			break
		}
	}
	return best
}

// linkAddr is where others reach a link that listens on listen: at its own host, unless the node was told to advertise one,
// or that is empty or unspecified. Then it is host, where they reach the gossip.
func linkAddr(ctx context.Context, listen string, host netip.Addr, told bool) (netip.AddrPort, error) {
	own, port, err := splitHostPort(listen)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("the link address: %w", err)
	}
	if port == 0 {
		return netip.AddrPort{}, fmt.Errorf("the link address %q has no port: give the one that the link listens on", listen)
	}
	if own == "" || told {
		return netip.AddrPortFrom(host, port), nil
	}
	addrs, err := resolve(ctx, own)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("resolve the link's host: %w", err)
	}
	if addrs[0].IsUnspecified() {
		return netip.AddrPortFrom(host, port), nil
	}
	return netip.AddrPortFrom(addrs[0], port), nil
}

// resolve is the addresses of host, an address or a name, version 4 first; at least one, without zones.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap().WithZone("")}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var v4, v6 []netip.Addr
	for _, addr := range found {
		if addr = addr.Unmap().WithZone(""); addr.Is4() {
			v4 = append(v4, addr)
		} else {
			v6 = append(v6, addr)
		}
	}
	if len(v4)+len(v6) == 0 {
		return nil, fmt.Errorf("the name %q has no address", host)
	}
	return append(v4, v6...), nil
}

// splitHostPort takes HOST:PORT apart; the host may be empty, the port is a number.
func splitHostPort(s string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", s)
	}
	n, err := net.LookupPort("tcp", service)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT: the port is a number up to 65535", s)
	}
	return host, uint16(n), nil
}
