package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Role is what a member does. The values travel in the gossip: they are never given another meaning.
type Role uint8

const (
	Proxy  Role = 1 // owns the public ports and routes clients to servers
	Server Role = 2 // serves any client over its link
)

// String is the role's name in logs and metrics.
func (r Role) String() string {
	switch r {
	case Proxy:
		return "proxy"
	case Server:
		return "server"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// MarshalText makes JSON logs say the name, too.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Member is one node as the gossip tells of it. It is a value and comparable.
type Member struct {
	Name string // stable over restarts; what the ring hashes
	Role Role
	Link netip.AddrPort // where a server's link listens; a proxy has none

	// Draining says that the member is about to leave: it finishes what it has and wants nothing new.
	Draining bool

	// Missing says that the gossip has lost the member, and that it is kept because more than half of the servers were
	// lost at once: more likely it is this node that is cut off, so only a link can tell.
	Missing bool

	// Digest is that of the member's ring table, as it gave it to [Cluster.SetDigest]; 0 before that.
	Digest uint64
}

// check says what is wrong with a node that claims to be m.
func (m Member) check() error {
	switch m.Role {
	case Proxy:
		return nil
	case Server:
		if m.Link.Addr().IsUnspecified() || !m.Link.IsValid() || m.Link.Port() == 0 {
			return errors.New("a server without an address for its link")
		}
		return nil
	}
	return fmt.Errorf("%v is unknown", m.Role)
}

// MaxName is the greatest length of a name in bytes.
const MaxName = 64

// CheckName refuses names that would not survive logs, metrics and the seeds' NAME/ADDRESS form.
func CheckName(name string) error {
	if name == "" {
		return errors.New("the node has no name: give it one that is its own and stays the same over restarts")
	}
	if len(name) > MaxName {
		return fmt.Errorf("the node name has %d bytes; the limit is %d", len(name), MaxName)
	}
	outside := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}
	if strings.ContainsFunc(name, outside) {
		return fmt.Errorf("the node name %q may have only letters, digits and . _ - in it", name)
	}
	return nil
}
