package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	commandTimeout = 2 * time.Minute // a MySQL may take a minute to end
	healthyTimeout = 2 * time.Minute
	pollEvery      = 250 * time.Millisecond
)

// command runs a program, and returns what it prints.
func command(env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = fmt.Errorf("it has not ended after %v", commandTimeout)
	}
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func docker(args ...string) (string, error) { return command(nil, "docker", args...) }

// asRoot runs a program as root.
func asRoot(args ...string) (string, error) {
	if os.Geteuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	return command(nil, args[0], args[1:]...)
}

// container is one of the engine's, which may be running or not.
type container struct {
	name string // of its service, such as server-1
	id   string
	had  string // its address on the network that was taken from it
}

// findContainer finds the one of a service.
func findContainer(project, service string) (*container, error) {
	id, err := docker("ps", "-aq", "--filter", "label=com.docker.compose.project="+project,
		"--filter", "label=com.docker.compose.service="+service)
	if err != nil {
		return nil, err
	}
	if id == "" || strings.Contains(id, "\n") {
		return nil, fmt.Errorf("the service %s of %s has not one container but these: %q", service, project, id)
	}
	return &container{name: service, id: id}, nil
}

// ask looks a container up with a template.
func (c *container) ask(template string) (string, error) {
	return docker("inspect", "--format", template, c.id)
}

func (c *container) start() error {
	if _, err := docker("start", c.id); err != nil {
		return err
	}
	return c.awaitHealthy("")
}

func (c *container) kill() error {
	_, err := docker("kill", c.id)
	return err
}

// end ends it in order.
func (c *container) end() error {
	if _, err := docker("stop", c.id); err != nil {
		return err
	}
	code, err := c.ask("{{.State.ExitCode}}")
	if err == nil && code != "0" {
		err = fmt.Errorf("%s was ended in order, and its exit code is %s", c.name, code)
	}
	return err
}

// started is when it was started last.
func (c *container) started() (string, error) { return c.ask("{{.State.StartedAt}}") }

// awaitHealthy waits until it is healthy, since another start than the one at this time.
func (c *container) awaitHealthy(before string) error {
	var state string
	for deadline := time.Now().Add(healthyTimeout); time.Now().Before(deadline); time.Sleep(pollEvery) {
		var err error
		if state, err = c.ask("{{.State.StartedAt}} {{.State.Status}} {{.State.Health.Status}}"); err != nil {
			return err
		}
		if strings.HasSuffix(state, " running healthy") && (before == "" || !strings.HasPrefix(state, before)) {
			return nil
		}
	}
	return fmt.Errorf("%s is not healthy after %v: %s", c.name, healthyTimeout, state)
}

// crash kills its process without the engine's knowledge. Whatever the engine does then is its policy.
func (c *container) crash() error {
	pid, err := c.ask("{{.State.Pid}}")
	if err != nil {
		return err
	}
	_, err = asRoot("kill", "-KILL", pid)
	return err
}

// firewall adds rules to its network's iptables.
func (c *container) firewall(rules ...string) error {
	for _, rule := range rules {
		if _, err := c.iptables(strings.Fields("-A " + rule)...); err != nil {
			return err
		}
	}
	return nil
}

// unfirewall ends what firewall has begun. It is an error if that has done nothing.
func (c *container) unfirewall() error {
	rules, err := c.iptables("--list-rules", "--verbose")
	if err != nil {
		return err
	}
	if dropped(rules) == 0 {
		return fmt.Errorf("these rules have dropped nothing on %s's networks, so that nothing was tested:\n%s", c.name, rules)
	}
	_, err = c.iptables("--flush")
	return err
}

// dropped is how many packets rules have dropped, from how iptables prints them with their counters: "-c PACKETS BYTES".
func dropped(rules string) (packets int) {
	for rule := range strings.Lines(rules) {
		if _, counters, found := strings.Cut(rule, " -c "); found && strings.Contains(rule, "-j DROP") {
			n, _, _ := strings.Cut(counters, " ")
			count, _ := strconv.Atoi(n) // what is no number does not count
			packets += count
		}
	}
	return packets
}

func (c *container) iptables(args ...string) (string, error) {
	pid, err := c.ask("{{.State.Pid}}")
	if err != nil {
		return "", err
	}
	return asRoot(append([]string{"nsenter", "--target", pid, "--net", "iptables", "--wait"}, args...)...)
}

// unplug takes its interface to a network away.
func (c *container) unplug(network string) (err error) {
	if c.had, err = c.address(network); err != nil {
		return err
	}
	_, err = docker("network", "disconnect", network, c.id)
	return err
}

// plug gives it one, with this address. It has the names there that compose gives.
func (c *container) plug(network, address string) error {
	_, err := docker("network", "connect", "--ip", address, "--alias", c.name, "--alias", c.name+".backend", network, c.id)
	return err
}

// address is the one that it was given on a network, whether it runs or not; empty if it is not on it.
func (c *container) address(network string) (string, error) {
	return c.ask(`{{with index .NetworkSettings.Networks "` + network + `"}}{{.IPAMConfig.IPv4Address}}{{end}}`)
}

// liveAddress is the one that it has on a network while it runs.
func (c *container) liveAddress(network string) (string, error) {
	return c.ask(`{{with index .NetworkSettings.Networks "` + network + `"}}{{.IPAddress}}{{end}}`)
}

func (c *container) isServer() bool { return strings.HasPrefix(c.name, "server-") }
