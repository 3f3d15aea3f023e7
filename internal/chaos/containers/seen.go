package containers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// What a server says, at level debug, when a client has begun there, by the version of the protocol. The address is that by
// which proxies choose the server, and at which version 1 is dialled.
var beginnings = map[string]int{"a device polls": 1, "a stream reads": 2}

// seen is which addresses clients had for the servers, and which versions they spoke.
type seen map[string]map[int]bool

// clientsSeen asks the logs of all servers.
func (cl *cluster) clientsSeen() (seen, error) {
	s := make(seen)
	for _, t := range targets {
		if c := cl.containers[t.Name]; c.isServer() {
			if err := s.addLog(c); err != nil {
				return nil, fmt.Errorf("reading the log of %s: %w", c.name, err)
			}
		}
	}
	return s, nil
}

func (s seen) addLog(c *container) error {
	cmd := exec.Command("docker", "logs", c.id)
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	cmd.Stdout = io.Discard
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(s.addLines(log), cmd.Wait())
}

func (s seen) addLines(log io.Reader) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte(`"client"`)) {
			continue
		}
		var l struct{ Msg, Client string }
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("%s: %w", lines.Bytes(), err)
		}
		version := beginnings[l.Msg]
		if version == 0 {
			continue
		}
		if s[l.Client] == nil {
			s[l.Client] = make(map[int]bool)
		}
		s[l.Client][version] = true
	}
	return lines.Err()
}

// check wants the servers to have seen each client at its own address, speaking its version, and nobody else.
func (s seen) check(wanted map[string]int) (problems []string) {
	for address, version := range wanted {
		if !s[address][version] {
			problems = append(problems, fmt.Sprintf("no server saw the client of version %d at its own address %s", version, address))
		}
	}
	for address, versions := range s {
		for version := range versions {
			if wanted[address] != version {
				problems = append(problems, fmt.Sprintf("a server saw a client of version %d at %s, where none is", version, address))
			}
		}
	}
	return problems
}
