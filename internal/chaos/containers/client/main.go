// The client is one client of a run in containers. It is a program of its own, so that it runs in a container whose address is
// the client's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"multichat/internal/chaos/remote"
)

func main() {
	number := flag.Int("number", 0, "which client of the run it is, from 1")
	socket := flag.String("driver", "", "the Unix socket of the run's driver")
	flag.Parse()
	if err := run(*number, *socket); err != nil {
		fmt.Fprintf(os.Stderr, "client %d: %v\n", *number, err)
		os.Exit(1)
	}
}

func run(number int, socket string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	addr, err := ownAddress()
	if err != nil {
		return err
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := remote.Serve(ctx, conn, number, addr); err != nil {
		return err
	}
	<-ctx.Done() // else all containers of a run would end at the same moment, which some engines do not bear; see startClients
	return nil
}

// ownAddress is the address of the one network that the container is on.
func ownAddress() (netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			return prefix.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("this container has no address but the loopback's; it has to be on a network")
}
