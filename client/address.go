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
)

// Address is where a proxy is. Its text form is HOST[:UDP/TCP]: a name, an IPv4 address, or an IPv6 address in brackets.
type Address struct {
	Host string // without brackets
	UDP  uint16 // takes polls
	TCP  uint16 // takes messages
}

// ParseAddress reads HOST[:UDP/TCP].
func ParseAddress(s string) (Address, error) {
	host, ports, err := cutPorts(s)
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

// String is the address as [ParseAddress] reads it, with both ports.
func (a Address) String() string {
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

// cutPorts parts the host, without brackets, from what follows the colon behind it, which is empty if there is no colon.
func cutPorts(s string) (host, ports string, err error) {
	bracketed := strings.HasPrefix(s, "[")
	var colon bool
	if bracketed {
		var closed bool
		if host, ports, closed = strings.Cut(s[1:], "]"); !closed {
			return "", "", fmt.Errorf("proxy address %q: the bracket is not closed", s)
		}
		if colon = ports != ""; colon {
			var found bool
			if ports, found = strings.CutPrefix(ports, ":"); !found {
				return "", "", fmt.Errorf("proxy address %q: after the bracket comes :UDP/TCP or nothing", s)
			}
		}
	} else {
		host, ports, colon = strings.Cut(s, ":")
	}
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case bracketed && (ipErr != nil || !ip.Is6()):
		return "", "", fmt.Errorf("proxy address %q: what is in brackets is not an IPv6 address", s)
	case !bracketed && strings.Contains(ports, ":"):
		return "", "", fmt.Errorf("proxy address %q: there are too many colons; write an IPv6 address in brackets", s)
	case host == "":
		return "", "", fmt.Errorf("proxy address %q: the host is missing; write HOST or HOST:UDP/TCP", s)
	case !bracketed && strings.ContainsFunc(host, notInHost):
		return "", "", fmt.Errorf("proxy address %q: the host has a character that no host name has", s)
	case colon && ports == "":
		return "", "", fmt.Errorf("proxy address %q: the ports are missing after the colon; write HOST or HOST:UDP/TCP", s)
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
