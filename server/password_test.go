package server

import (
	"net/netip"
	"strings"
	"testing"

	"multichat/internal/chat"
)

var anyAddr = netip.MustParseAddr("127.0.0.9")

var cheapParams = HashParams{MemoryKiB: 8, Passes: 1, Threads: 1}

func TestAHashTellsItsPasswordFromOthers(t *testing.T) {
	for _, params := range []HashParams{cheapParams, {MemoryKiB: 64, Passes: 3, Threads: 2}, DefaultHashParams} {
		for _, password := range []string{"", "secret", strings.Repeat("ü", 64)} {
			phc := HashPassword(chat.NewSecret(password), params)
			if got, _, _, err := parseHash(phc); err != nil || got != params {
				t.Errorf("%s has the parameters %v, %v; want %v", phc, got, err, params)
			}
			for _, try := range []string{password, password + "x", "other"} {
				ok, err := verifyPassword(chat.NewSecret(try), phc)
				if ok != (try == password) || err != nil {
					t.Errorf("%q against the hash of %q: %v, %v", try, password, ok, err)
				}
			}
		}
	}
}

func TestEachHashHasASaltOfItsOwn(t *testing.T) {
	secret := chat.NewSecret("secret")
	first, second := HashPassword(secret, cheapParams), HashPassword(secret, cheapParams)
	if first == second {
		t.Error("two hashes of one password are equal")
	}
}

// A test vector of argon2's reference implementation.
func TestHashesOfOtherProgramsAreUnderstood(t *testing.T) {
	const phc = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	if ok, err := verifyPassword(chat.NewSecret("password"), phc); !ok || err != nil {
		t.Errorf("the right password: %v, %v", ok, err)
	}
}

var hostileHashes = map[string]string{
	"empty":                     "",
	"not a hash":                "secret",
	"another function":          "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"another version":           "$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"no version":                "$argon2id$m=8,t=1,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"no key":                    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$",
	"cut off":                   "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
	"a field more":              "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5$",
	"a key of one byte":         "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$cw",
	"a key that is too long":    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("c29t", 22),
	"no salt":                   "$argon2id$v=19$m=8,t=1,p=1$$c29tZWtleXNvbWVrZXlzb21la2V5",
	"a salt not in base64":      "$argon2id$v=19$m=8,t=1,p=1$!!!!!!!!!!!$c29tZWtleXNvbWVrZXlzb21la2V5",
	"too much memory":           "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"too many passes":           "$argon2id$v=19$m=8,t=4294967295,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"too many threads":          "$argon2id$v=19$m=8,t=1,p=255$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"no passes":                 "$argon2id$v=19$m=8,t=0,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"no threads":                "$argon2id$v=19$m=8,t=1,p=0$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"something behind a number": "$argon2id$v=19$m=8,t=1,p=1x$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"a negative number":         "$argon2id$v=19$m=8,t=-1,p=1$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
	"a number that overflows":   "$argon2id$v=19$m=8,t=1,p=257$c29tZXNhbHQ$c29tZWtleXNvbWVrZXlzb21la2V5",
}

func TestGarbledHashesLetNobodyIn(t *testing.T) {
	for name, phc := range hostileHashes {
		ok, err := verifyPassword(chat.NewSecret("secret"), phc)
		if ok || err != errBadHash {
			t.Errorf("%s: %v, %v; want %v", name, ok, err, errBadHash)
		}
	}
}

// Whatever stands in the users table, reading it neither panics nor lets through what would cost too much.
func FuzzParseHash(f *testing.F) {
	f.Add(HashPassword(chat.NewSecret("secret"), cheapParams))
	for _, phc := range hostileHashes {
		f.Add(phc)
	}
	f.Fuzz(func(t *testing.T, phc string) {
		p, salt, key, err := parseHash(phc)
		if err != nil {
			return
		}
		if p.MemoryKiB > maxHashParams.MemoryKiB || p.Passes < 1 || p.Passes > maxHashParams.Passes || p.Threads < 1 ||
			p.Threads > maxHashParams.Threads || len(salt) < minSaltBytes || len(key) < minKeyBytes || len(key) > maxKeyBytes {
			t.Errorf("%q is taken: %v, a salt of %d and a key of %d bytes", phc, p, len(salt), len(key))
		}
	})
}

func TestWhatWasVerifiedIsRemembered(t *testing.T) {
	a := newAuthenticator(chat.Secret{}, 0, fakeClock(5))
	u := &account{user: chat.User{ID: "alice", Hash: HashPassword(chat.NewSecret("right"), cheapParams)}}
	wrongTag, rightTag := a.tag(&u.user, chat.NewSecret("wrong")), a.tag(&u.user, chat.NewSecret("right"))
	recalls := func(t tag) verdict { return a.recall(u, t, chat.Secret{}) }
	if got := recalls(wrongTag); got != unverified {
		t.Fatalf("before anything was verified: %v", got)
	}
	if err := a.verify(t.Context(), anyAddr, u, chat.NewSecret("wrong"), wrongTag); err != errWrongPassword {
		t.Fatal(err)
	}
	if recalls(wrongTag) != wrong || recalls(rightTag) != unverified {
		t.Error("a wrong password is not remembered as such, or another one is")
	}
	if err := a.verify(t.Context(), anyAddr, u, chat.NewSecret("right"), rightTag); err != nil {
		t.Fatal(err)
	}
	if recalls(rightTag) != right {
		t.Error("a right password is not remembered")
	}
}

// A tag is of one user, one password and one stored hash, whatever the lengths of the three.
func TestTagsAreOfOneUserPasswordAndHash(t *testing.T) {
	a := newAuthenticator(chat.Secret{}, 0, fakeClock(0))
	tags := make(map[tag]string)
	for _, u := range []chat.User{{ID: "a", Hash: "bc"}, {ID: "ab", Hash: "c"}, {ID: "a", Hash: "b"}, {ID: "abc"}} {
		for _, password := range []string{"", "c", "d", "cd"} {
			triple := string(u.ID) + "|" + u.Hash + "|" + password
			got := a.tag(&u, chat.NewSecret(password))
			if other, ok := tags[got]; ok {
				t.Errorf("%s and %s have the same tag", triple, other)
			}
			tags[got] = triple
			if got != a.tag(&u, chat.NewSecret(password)) {
				t.Errorf("%s has two tags", triple)
			}
			if got == newAuthenticator(chat.Secret{}, 0, fakeClock(0)).tag(&u, chat.NewSecret(password)) {
				t.Errorf("%s has the same tag in another process", triple)
			}
		}
	}
}
