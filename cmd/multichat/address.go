package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// checkAddrs takes pairs of a flag's name and its value, and wants each value that is not empty to be HOST:PORT.
func checkAddrs(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		flag, addr := pairs[i], pairs[i+1]
		if addr == "" {
			continue
		}
		_, port, err := net.SplitHostPort(addr)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return usagef("--%s %s is not of the form HOST:PORT or :PORT", flag, addr)
		}
	}
	return nil
}

// listenError says what a person can do about a port that could not be opened.
func listenError(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--%s %s: the port is in use; end what uses it or choose another", flag, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--%s %s: this machine has no such address; name one of its own, or none for all of them", flag, addr)
	}
	return fmt.Errorf("--%s %s cannot be opened: %w", flag, addr, err)
}
