package link

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// ErrOtherKey says that the other end could not prove the cluster key, or did not accept our proof. When the
// certificate was refused over there, all that comes back is that it was; a clock that is wrong by more than a day
// looks the same then.
var ErrOtherKey = errors.New("the other end has another cluster key (or a clock that is wrong by more than a day)")

const (
	caLabel    = "multichat link: certificate authority, version 1" // changing it is a new cluster key for every link
	serverName = "link.multichat"                                   // the one name all certificates bear

	// Clocks differ, and a process may run for years: certificates live in memory only and die with it.
	leafBackdate = 24 * time.Hour
	leafLife     = 20 * 365 * 24 * time.Hour
)

// Identity is this process's proof that it knows the cluster key, and how it checks the proof of others. It may be
// shared by all links of a process.
type Identity struct {
	leaf tls.Certificate
	ca   *x509.CertPool
}

// NewIdentity makes the identity of this process from the cluster key, [chat.ClusterKeyBytes] raw bytes.
func NewIdentity(key chat.Secret) (*Identity, error) {
	if key.Len() != chat.ClusterKeyBytes {
		return nil, fmt.Errorf("the cluster key has %d bytes instead of %d: make one with `multichat keys new`",
			key.Len(), chat.ClusterKeyBytes)
	}
	caKey, err := authorityKey(key)
	if err != nil {
		return nil, fmt.Errorf("deriving the certificate authority from the cluster key: %w", err)
	}
	ca, err := sign(authority(), nil, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("making the certificate authority: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for this process: %w", err)
	}
	leaf, err := sign(leaf(faults.Now()), ca, public, caKey)
	if err != nil {
		return nil, fmt.Errorf("signing this process's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &Identity{
		leaf: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: private, Leaf: leaf},
		ca:   pool,
	}, nil
}

func authorityKey(key chat.Secret) (ed25519.PrivateKey, error) {
	raw := key.AppendTo(make([]byte, 0, chat.ClusterKeyBytes))
	defer clear(raw)
	seed, err := hkdf.Key(sha256.New, raw, nil, caLabel, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return ed25519.NewKeyFromSeed(seed), nil
}

// authority has no date of today and no random number in it, so that all processes of a cluster make the same.
func authority() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "multichat cluster"},
		NotBefore:             time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

func leaf(now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: serverName},
		DNSNames:    []string{serverName},
		NotBefore:   now.Add(-leafBackdate),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// sign makes a certificate for public. A nil parent is the template itself. A template without a serial number gets a
// random one.
func sign(
	template, parent *x509.Certificate, public crypto.PublicKey, caKey ed25519.PrivateKey,
) (*x509.Certificate, error) {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, caKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// secureDialled makes a connection to a server TLS, whose handshake is yet to come.
func (id *Identity) secureDialled(raw net.Conn) net.Conn {
	if faults.LinksInClear {
		return raw
	}
	return tls.Client(raw, id.clientTLS())
}

// secureAccepted makes a connection of a proxy TLS, by a configuration of serverTLS. The handshake is yet to come.
func secureAccepted(raw net.Conn, config *tls.Config) net.Conn {
	if faults.LinksInClear {
		return raw
	}
	return tls.Server(raw, config)
}

func (id *Identity) clientTLS() *tls.Config {
	c := id.tls()
	c.RootCAs = id.ca
	c.ServerName = serverName
	return c
}

func (id *Identity) serverTLS() *tls.Config {
	c := id.tls()
	c.ClientCAs = id.ca
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c
}

func (id *Identity) tls() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.leaf},
		Time:         faults.Now,

		// A link is long and dialled anew when it ends: there is no session worth resuming, and full records suit a
		// connection whose writes are already gathered.
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

// keyError finds the other cluster key in an error of a handshake. A refusal by the other end comes as an alert, which
// crypto/tls shows by its text alone.
func keyError(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%w: %w", ErrOtherKey, err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		switch op.Err.Error() {
		case "tls: bad certificate", "tls: unknown certificate authority", "tls: certificate required":
			return fmt.Errorf("%w: %w", ErrOtherKey, err)
		}
	}
	return err
}
