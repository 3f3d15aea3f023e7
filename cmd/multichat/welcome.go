package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// demoReadyTime is how long a demo may take until every proxy serves.
const demoReadyTime = 30 * time.Second

// welcome prints what a newcomer needs next, and "ready" once every proxy serves.
func (d *demo) welcome(ctx context.Context, term terminal) error {
	c := d.cmd
	fmt.Fprintf(term.out, "multichat demo: %d proxies, %d servers and %d shards in one process\n", c.Proxies, c.Servers, c.Shards)
	if c.Dir == "" {
		fmt.Fprintf(term.out, "data: %s, removed at the end (--dir DIR keeps it)\n", d.dir)
	} else {
		fmt.Fprintf(term.out, "data: %s\n", d.dir)
	}
	fmt.Fprintf(term.out, "users: alice, bob, carol; password: %s\n\n", demoPassword)
	for i, n := range d.proxies {
		fmt.Fprintf(term.out, "  proxy %d: polls %s/udp, messages %s/tcp\n", i+1, n.edge.UDPAddr(), n.edge.TCPAddr())
	}
	first, last := d.proxies[0], d.proxies[len(d.proxies)-1]
	fmt.Fprintf(term.out, `
Read as bob, in another terminal:
  MULTICHAT_PASSWORD=%[1]s %[2]s recv --user bob --proxy %[3]s
Write to everyone, in a third one:
  MULTICHAT_PASSWORD=%[1]s %[2]s send --user alice --to %% --proxy %[4]s "hello"
Ctrl-C ends the demo.

`, demoPassword, invocation(), proxyFlag(first), proxyFlag(last))
	if err := d.waitReady(ctx); err != nil {
		return err
	}
	fmt.Fprintln(term.out, "ready")
	<-ctx.Done()
	return nil
}

func proxyFlag(n *proxyNode) string {
	return fmt.Sprintf("%s/%d", n.edge.UDPAddr(), n.edge.TCPAddr().Port)
}

// invocation is how this program was started, as a person would type it.
func invocation() string {
	exe, err := os.Executable()
	if err != nil || filepath.Base(filepath.Dir(exe)) == "exe" { // where "go run" builds to
		return "go run ./cmd/multichat"
	}
	return os.Args[0]
}

// waitReady returns once every server has heard from its shards and every proxy has a link to every server.
func (d *demo) waitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(demoReadyTime)
	for {
		err := d.ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timeout:
			return fmt.Errorf("the demo is not ready after %v: %w", demoReadyTime, err)
		case <-tick.C:
		}
	}
}

func (d *demo) ready() error {
	for _, n := range d.servers {
		if err := n.logic.Ready(); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	for _, n := range d.proxies {
		if links := n.router.Links(); links < len(d.servers) {
			return fmt.Errorf("%s has links to %d of %d servers", n.name, links, len(d.servers))
		}
	}
	return nil
}
