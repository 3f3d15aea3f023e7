package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateCheck is how long a certificate counts as current without a look at its files.
const certificateCheck = time.Second

// certificate is a certificate with its key, in two PEM files that may change while it is in use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // held while the files are read: other handshakes wait for that
	current *tls.Certificate
	read    [2]os.FileInfo // of the files that current is of
	looked  time.Time
	failure string // why newer files could not be loaded; it is logged once
}

func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	if certFile == "" || keyFile == "" {
		return nil, errors.New("TLS needs a certificate and its key; give their PEM files with --tls-cert and --tls-key")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("load the certificate of --tls-cert and --tls-key: %w", err)
	}
	return c, nil
}

// get is the current certificate, for a handshake. Files that have changed and cannot be loaded, perhaps since only one
// of them is written yet, leave the former one in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= certificateCheck {
		c.looked = now
		c.refresh()
	}
	return c.current, nil
}

func (c *certificate) refresh() {
	err := c.load()
	switch {
	case err == nil:
		c.failure = ""
	case err.Error() != c.failure:
		c.failure = err.Error()
		c.log.Warn("the changed TLS certificate cannot be loaded; the former one stays in use until it can", "error", err)
	}
}

// load reads the files, unless they are those of the current certificate.
func (c *certificate) load() error {
	var found [2]os.FileInfo // before the contents: what changes later is seen with the next look
	var err error
	for i, name := range []string{c.certFile, c.keyFile} {
		if found[i], err = os.Stat(name); err != nil {
			return err
		}
	}
	if c.current != nil && sameFile(found[0], c.read[0]) && sameFile(found[1], c.read[1]) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	if c.current != nil {
		c.log.Info("the TLS certificate was replaced", "file", c.certFile)
	}
	c.current, c.read = &pair, found
	return nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
