package client

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// Ports of a proxy unless its address says otherwise.
const (
	DefaultUDPPort = 9001
	DefaultTCPPort = 9002
	DefaultTLSPort = 9003
)

const (
	tlsScheme = "tls://"
	plainForm = "HOST[:UDP/TCP]"
	tlsForm   = "tls://HOST[:PORT]"
)

// Address is where a proxy is. Its text form is HOST[:UDP/TCP], or tls://HOST[:PORT] for its port with TLS. HOST is a
// name, an IPv4 address, or an IPv6 address in brackets. Version 2 needs no UDP port, version 1 cannot do TLS.
type Address struct {
	Host string // without brackets
	UDP  uint16 // takes version 1's polls; 0 with TLS
	TCP  uint16 // takes everything else
	TLS  bool   // the TCP port is spoken to through TLS
}

// ParseAddress reads HOST[:UDP/TCP] or tls://HOST[:PORT].
func ParseAddress(s string) (Address, error) {
	if rest, found := strings.CutPrefix(s, tlsScheme); found {
		return parseTLS(s, rest)
	}
	host, ports, err := cutPorts(s, s, plainForm)
	if err != nil {
		return Address{}, err
	}
	a := Address{Host: host, UDP: DefaultUDPPort, TCP: DefaultTCPPort}
	if ports == "" {
		return a, nil
	}
	udp, tcp, found := strings.Cut(ports, "/")
	if !found {
		return Address{}, fmt.Errorf("proxy address %q: two ports are needed, for polls and for sending; write HOST:%d/%d",
			s, DefaultUDPPort, DefaultTCPPort)
	}
	if a.UDP, err = parsePort(udp); err != nil {
		return Address{}, fmt.Errorf("proxy address %q: the UDP port %w", s, err)
	}
	if a.TCP, err = parsePort(tcp); err != nil {
		return Address{}, fmt.Errorf("proxy address %q: the TCP port %w", s, err)
	}
	return a, nil
}

// parseTLS reads what follows the scheme; s is the whole, for errors.
func parseTLS(s, rest string) (Address, error) {
	host, port, err := cutPorts(s, rest, tlsForm)
	if err != nil {
		return Address{}, err
	}
	a := Address{Host: host, TCP: DefaultTLSPort, TLS: true}
	if port == "" {
		return a, nil
	}
	if a.TCP, err = parsePort(port); err != nil {
		return Address{}, fmt.Errorf("proxy address %q: the port %w", s, err)
	}
	return a, nil
}

// String is the address as [ParseAddress] reads it, with every port.
func (a Address) String() string {
	if a.TLS {
		return tlsScheme + a.tcp()
	}
	return net.JoinHostPort(a.Host, fmt.Sprintf("%d/%d", a.UDP, a.TCP))
}

// UnmarshalText is [ParseAddress], for flags and configuration files.
func (a *Address) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAddress(string(text))
	return err
}

// MarshalText is [Address.String].
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Address) udp() string { return net.JoinHostPort(a.Host, strconv.Itoa(int(a.UDP))) }

func (a Address) tcp() string { return net.JoinHostPort(a.Host, strconv.Itoa(int(a.TCP))) }

// serverName is what the proxy's certificate has to be made out to.
func (a Address) serverName() string {
	host, _, _ := strings.Cut(a.Host, "%") // a zone means something on this host alone
	return host
}

// cutPorts parts the host, without brackets, from what follows the colon behind it, which is empty if there is no colon.
// whole and form are for errors: what was given, and what it should be.
func cutPorts(whole, s, form string) (host, ports string, err error) {
	wrong := func(what string) (string, string, error) {
		return "", "", fmt.Errorf("proxy address %q: %s; write %s", whole, what, form)
	}
	bracketed := strings.HasPrefix(s, "[")
	var colon bool
	if bracketed {
		var closed bool
		if host, ports, closed = strings.Cut(s[1:], "]"); !closed {
			return wrong("the bracket is not closed")
		}
		if colon = ports != ""; colon {
			var found bool
			if ports, found = strings.CutPrefix(ports, ":"); !found {
				return wrong("after the bracket comes a colon or nothing")
			}
		}
	} else {
		host, ports, colon = strings.Cut(s, ":")
	}
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case bracketed && (ipErr != nil || !ip.Is6()):
		return wrong("what is in brackets is not an IPv6 address")
	case !bracketed && strings.Contains(ports, ":"):
		return wrong("there are too many colons; an IPv6 address stands in brackets")
	case host == "":
		return wrong("the host is missing")
	case !bracketed && strings.ContainsFunc(host, notInHost):
		return wrong("the host has a character that no host name has")
	case colon && ports == "":
		return wrong("nothing follows the colon")
	}
	return host, ports, nil
}

func notInHost(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '-' && r != '_'
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a number from 1 to 65535", s)
	}
	return uint16(n), nil
}
