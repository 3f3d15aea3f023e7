package containers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"multichat/client"
	"multichat/internal/chat"
)

// The networks of docker-compose.yml, and the server that comes and goes.
const (
	edge    = "edge"
	backend = "backend"
	joining = "server-4"
)

// project is the name of the run's containers, whatever else of compose runs on the machine.
const project = "multichat-chaos"

// nets are the first two bytes of the networks, unless the environment's CHAOS_NET says otherwise.
const nets = "10.213"

// cluster is the system in containers. It implements [chaos.System].
type cluster struct {
	root       string // of the repository
	net        string
	disk       disk
	containers map[string]*container

	mu      sync.Mutex
	crashes map[string]string // when what was crashed had been started
	last    int               // the last byte of the address given last
}

func newCluster(root, diskDir string) *cluster {
	return &cluster{root: root, net: cmp.Or(os.Getenv("CHAOS_NET"), nets), disk: disk{diskDir}, containers: make(map[string]*container),
		crashes: make(map[string]string), last: firstNew - 1}
}

func (cl *cluster) env() []string {
	return []string{"COMPOSE_PROJECT_NAME=" + project, "CHAOS_NET=" + cl.net, "CHAOS_DISK=" + cl.disk.dir,
		"COMPOSE_FILE=docker-compose.yml:internal/chaos/containers/compose.yml"}
}

// script runs something in the root of the repository. What it says becomes part of the error if it fails.
func (cl *cluster) script(ctx context.Context, text string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euc", ". deploy/compose.sh; "+text)
	cmd.Dir, cmd.Env, cmd.WaitDelay = cl.root, append(os.Environ(), cl.env()...), time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", text, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// up brings everything up, but the server that joins later.
func (cl *cluster) up(ctx context.Context, diskMegabytes int) error {
	if err := portsFree(); err != nil {
		return err
	}
	if err := cl.down(ctx); err != nil {
		return fmt.Errorf("removing what is left of another run: %w", err)
	}
	if err := cl.disk.mount(diskMegabytes); err != nil {
		return fmt.Errorf("making a small disk for a database: %w", err)
	}
	if _, err := cl.script(ctx, "deploy/up; compose --profile join up --no-start --no-deps "+joining); err != nil {
		return err
	}
	for _, t := range targets {
		c, err := findContainer(project, t.Name)
		if err != nil {
			return err
		}
		cl.containers[t.Name] = c
	}
	return nil
}

// portsFree says who has the ports that docker-compose.yml publishes.
func portsFree() error {
	for _, port := range []string{"9001/udp", "9002/tcp", "9101/udp", "9102/tcp"} {
		names, err := docker("ps", "--filter", "publish="+port, "--format", "{{.Names}} of the project {{.Label \"com.docker.compose.project\"}}")
		if err != nil {
			return err
		}
		switch {
		case strings.Contains(names, project): // of a run that was cut off; it is removed in a moment
		case names != "":
			return fmt.Errorf("port %s is published by %s; end that first, with `make down` in its folder if it is a multichat", port, names)
		default:
			if err := tryPort(port); err != nil {
				return fmt.Errorf("port %s is in use by something that is no container, such as `multichat demo`; end that first: %w", port, err)
			}
		}
	}
	return nil
}

func tryPort(port string) error {
	number, protocol, _ := strings.Cut(port, "/")
	var taken io.Closer
	var err error
	if protocol == "udp" {
		taken, err = net.ListenPacket("udp", ":"+number)
	} else {
		taken, err = net.Listen("tcp", ":"+number)
	}
	if err != nil {
		return err
	}
	return taken.Close()
}

// down removes everything of the run.
func (cl *cluster) down(ctx context.Context) error {
	_, err := cl.script(ctx, "deploy/sweep "+project)
	return errors.Join(err, cl.disk.unmount())
}

// addUsers makes users with the password that all clients have.
func (cl *cluster) addUsers(n int) (users []chat.UserID, err error) {
	for i := range n {
		user := fmt.Sprintf("user%02d", i+1)
		_, err := docker("exec", "--env", "MULTICHAT_PASSWORD="+password, cl.containers["server-1"].id, "/multichat", "user", "add", user)
		if err != nil {
			return nil, err
		}
		users = append(users, chat.UserID(user))
	}
	return users, nil
}

const password = "demo"

func (cl *cluster) proxies() []client.Address {
	return []client.Address{
		{Host: cl.net + ".1.21", UDP: 9001, TCP: 9002},
		{Host: cl.net + ".1.22", UDP: 9101, TCP: 9102},
	}
}

func (cl *cluster) network(name string) string { return project + "_" + name }

func (cl *cluster) subnet(network string) string {
	return cl.net + map[string]string{edge: ".1.0/24", backend: ".2.0/24"}[network]
}

func (cl *cluster) crash(c *container) error {
	started, err := c.started()
	if err != nil {
		return err
	}
	cl.mu.Lock()
	cl.crashes[c.name] = started
	cl.mu.Unlock()
	return c.crash()
}

func (cl *cluster) crashed(c *container) string {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.crashes[c.name]
}

func (cl *cluster) unplug(c *container) error { return c.unplug(cl.network(backend)) }

// plugAgain gives a container the address again that it had.
func (cl *cluster) plugAgain(c *container) error {
	return c.plug(cl.network(backend), c.had)
}

// New addresses are in a range of their own, so that nobody else is given one of them.
const firstNew, lastNew = 100, 250

// readdress starts a container that was killed with an address that it has not had.
func (cl *cluster) readdress(c *container) error {
	address, err := cl.newAddress()
	if err != nil {
		return err
	}
	if err := c.unplug(cl.network(backend)); err != nil {
		return err
	}
	if err := c.plug(cl.network(backend), address); err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	has, err := c.liveAddress(cl.network(backend))
	if err == nil && has != address {
		err = fmt.Errorf("%s was to have the address %s, and has %s", c.name, address, has)
	}
	return err
}

// newAddress is one that nobody has.
func (cl *cluster) newAddress() (string, error) {
	taken := make(map[string]bool)
	for _, c := range cl.containers {
		address, err := c.address(cl.network(backend))
		if err != nil {
			return "", err
		}
		taken[address] = true
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for {
		if cl.last++; cl.last > lastNew {
			cl.last = firstNew
		}
		if address := fmt.Sprintf("%s.2.%d", cl.net, cl.last); !taken[address] {
			return address, nil
		}
	}
}

// makeRoom gives a database room again. It waits until that writes: MySQL looks once a minute whether it has room.
func (cl *cluster) makeRoom(c *container) error {
	if err := cl.disk.empty(); err != nil {
		return err
	}
	if err := c.awaitHealthy(""); err != nil {
		return err
	}
	// What is in the binary log is written. That there is no such table does not matter.
	_, err := docker("exec", c.id, "sh", "-c", `MYSQL_PWD=$(cat /run/secrets/shard_password) exec mysql --protocol=TCP -h 127.0.0.1 `+
		`-u multichat -e "DROP TABLE IF EXISTS chaos_room" multichat`)
	return err
}

// saveLogs keeps what the containers have said.
func (cl *cluster) saveLogs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	list, err := docker("ps", "-a", "--filter", "name=^"+project, "--format", "{{.Names}}")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(list) {
		if err := saveLog(name, filepath.Join(dir, name+".log")); err != nil {
			return err
		}
	}
	return nil
}

func saveLog(container, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command("docker", "logs", "--timestamps", container)
	cmd.Stdout, cmd.Stderr = f, f
	return cmd.Run()
}
