package server

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"multichat/internal/chat"
)

// HashParams is the price of one argon2id hash. A hash carries its own, so that they may change.
type HashParams struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// DefaultHashParams is OWASP's recommendation for argon2id at the memory of a busy server: some 30 ms on one core.
var DefaultHashParams = HashParams{MemoryKiB: 19 * 1024, Passes: 2, Threads: 1}

// maxHashParams bounds what a stored hash may make this process spend, should somebody write to the users table.
var maxHashParams = HashParams{MemoryKiB: 256 * 1024, Passes: 16, Threads: 16}

const (
	saltBytes = 16
	keyBytes  = 32

	// Bounds of what is taken from other makers of hashes. A key of a byte or two would let many passwords in.
	minSaltBytes = 8
	minKeyBytes  = 16
	maxKeyBytes  = 64
)

// HashPassword makes what is stored of a password: a PHC string, $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func HashPassword(password chat.Secret, p HashParams) string {
	var salt [saltBytes]byte
	rand.Read(salt[:])
	return formatHash(p, salt[:], argon2.IDKey(password.AppendTo(nil), salt[:], p.Passes, p.MemoryKiB, p.Threads, keyBytes))
}

func formatHash(p HashParams, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.MemoryKiB, p.Passes, p.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

var errBadHash = errors.New("the stored password hash is not of the form $argon2id$v=19$m=…,t=…,p=…$salt$hash")

// verifyPassword compares a password with a stored hash. It costs what the hash says.
func verifyPassword(password chat.Secret, phc string) (bool, error) {
	p, salt, key, err := parseHash(phc)
	if err != nil {
		return false, err
	}
	got := argon2.IDKey(password.AppendTo(nil), salt, p.Passes, p.MemoryKiB, p.Threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, nil
}

func parseHash(phc string) (p HashParams, salt, key []byte, err error) {
	parts := strings.Split(phc, "$") // "", argon2id, v=, m=,t=,p=, salt, key
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, errBadHash
	}
	const form = "m=%d,t=%d,p=%d"
	_, err = fmt.Sscanf(parts[3], form, &p.MemoryKiB, &p.Passes, &p.Threads)
	if err != nil || parts[3] != fmt.Sprintf(form, p.MemoryKiB, p.Passes, p.Threads) {
		return p, nil, nil, errBadHash // scanning alone would let anything stand behind the numbers
	}
	if p.MemoryKiB > maxHashParams.MemoryKiB || p.Passes == 0 || p.Passes > maxHashParams.Passes ||
		p.Threads == 0 || p.Threads > maxHashParams.Threads {
		return p, nil, nil, errBadHash
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(salt) < minSaltBytes || len(key) < minKeyBytes || len(key) > maxKeyBytes {
		return p, nil, nil, errBadHash
	}
	return p, salt, key, nil
}

// maxHashesWaiting is how many verifications may wait for a core; one more is refused, so that a flood of passwords
// cannot make everybody else's wait long.
const maxHashesWaiting = 64

var errHashesBusy = chat.Errorf(chat.CodeBusy, "too many passwords are being checked; try again")

// hasher runs verifications, which take a core for tens of milliseconds each, on half of the cores.
type hasher struct {
	waiting chan struct{} // one for each that runs or waits
	running chan struct{}
}

func newHasher() *hasher {
	return &hasher{
		waiting: make(chan struct{}, maxHashesWaiting),
		running: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// newDecoy makes a hash that no password has: checking against it costs what checking against a user's does.
func newDecoy() string {
	var random [saltBytes + keyBytes]byte
	rand.Read(random[:])
	return formatHash(DefaultHashParams, random[:saltBytes], random[saltBytes:])
}

// verify waits for its turn and compares. The error is busy, ctx's, or about the stored hash.
func (h *hasher) verify(ctx context.Context, password chat.Secret, phc string) (bool, error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return false, errHashesBusy
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return verifyPassword(password, phc)
}
