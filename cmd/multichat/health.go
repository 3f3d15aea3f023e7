package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

type healthCmd struct {
	Admin string `required:"" placeholder:"ADDR" help:"The node's own --admin: HOST:PORT, or :PORT on this machine."`
}

// Help is printed below the flags' summary.
func (healthCmd) Help() string {
	return `It asks a proxy or a server whether it is ready to serve. It ends with 0 if it is, with 1 if it is not, and says
why, and with 4 if there is no answer within 2 seconds. For the probes of containers, and for scripts.`
}

const (
	// healthTime is how long a node may take to answer: it looks at nothing but its own memory.
	healthTime = 2 * time.Second

	maxHealthAnswer = 4 << 10 // bytes of an answer that are read
)

func (c *healthCmd) Run(ctx context.Context, term terminal) error {
	if err := checkAddrs("admin", c.Admin); err != nil {
		return err
	}
	addr, err := reachable(c.Admin)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	status, text, err := askReady(ctx, addr)
	switch {
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled):
		return &exitError{exitUnreachable, fmt.Errorf("%s has not answered within %v", addr, healthTime)}
	case err != nil:
		return &exitError{exitUnreachable, fmt.Errorf("%s does not answer: %w; see whether a node runs there with this --admin", addr, err)}
	case status == http.StatusOK && text == readyText:
		_, err = fmt.Fprintln(term.out, "ready")
		return err
	case status == http.StatusServiceUnavailable && strings.HasPrefix(text, notReadyText):
		return fmt.Errorf("%s is %s", addr, text)
	}
	return fmt.Errorf("%s answers, but not as the --admin of a node does (HTTP status %d); see which address the node logs as admin", addr, status)
}

// reachable turns the address that a node listens on into one to ask it at.
func reachable(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", usagef("--admin %s: %w", addr, err)
	}
	if port == "0" {
		return "", usagef("--admin %s: port 0 is any free one; name the one that the node logs as admin, or start the node with another", addr)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

// askReady asks without any proxy of the environment, and follows no redirection.
func askReady(ctx context.Context, addr string) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return 0, "", err
	}
	response, err := new(http.Transport).RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealthAnswer))
	return response.StatusCode, strings.TrimSpace(string(body)), err
}
