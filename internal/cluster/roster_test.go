package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// script plays events given as words, one second apart unless a word like "+10s" says more:
//
//	s1 joins or comes back · s1~ drains · s1! is gone
//
// Names beginning with p are proxies. It returns the list in the same words, missing members with a question mark.
func script(t *testing.T, words string) string {
	t.Helper()
	r, now := newRoster(), time.Unix(1000, 0)
	for _, word := range strings.Fields(words) {
		if d, err := time.ParseDuration(word); err == nil && word[0] == '+' {
			now = now.Add(d)
			r.list(now)
			continue
		}
		now = now.Add(time.Second)
		play(r, word, now)
	}
	peers, _ := r.list(now)
	return describe(peers)
}

func play(r *roster, word string, now time.Time) {
	name := strings.TrimRight(word, "~!")
	role := Server
	if name[0] == 'p' {
		role = Proxy
	}
	switch word[len(word)-1] {
	case '!':
		r.gone(name, now)
	default:
		r.alive(peer{Member: Member{Name: name, Role: role, Draining: word != name}}, now)
	}
}

func describe(peers []peer) string {
	var words []string
	for _, p := range peers {
		word := p.Name
		if p.Draining {
			word += "~"
		}
		if p.Missing {
			word += "?"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestRoster(t *testing.T) {
	for _, tt := range []struct{ name, events, want string }{
		{"sorted by name", "s2 p1 s10 s1", "p1 s1 s10 s2"},
		{"the last word counts", "s1 s1~ s1", "s1"},
		{"one of three fails", "s1 s2 s3 s2!", "s1 s3"},
		{"one of two fails", "s1 s2 s2!", "s1"},
		{"the only one fails", "s1 s1!", "s1?"},
		{"the only one drains and leaves", "s1 s1~ s1!", ""},
		{"two of three fail", "s1 s2 s3 s2! s3!", "s1 s2? s3?"},
		{"two of four are not more than half", "s1 s2 s3 s4 s1! s2!", "s3 s4"},
		{"three of four are", "s1 s2 s3 s4 s1! s2! s3!", "s1? s2? s3? s4"},
		{"all of three", "s1 s2 s3 s1! s2! s3!", "s1? s2? s3?"},
		{"a slow row of failures is one event", "s1 s2 s3 s4 s1! +3s s2! +3s s3!", "s1? s2? s3? s4"},
		{"failures far apart are several", "s1 s2 s3 s4 s1! +10s s2! +10s s3!", "s4"},
		{"but the last one stays", "s1 s2 s3 s1! +10s s2! +10s s3!", "s3?"},
		{"leaving counts neither way", "s1 s2 s3 s1~ s1! s2!", "s3"},
		{"all leave", "s1 s2 s3 s1~ s2~ s3~ s1! s2! s3!", ""},
		{"those about to leave hold nobody's place", "s1 s2 s1~ s2!", "s1~ s2?"},
		{"proxies are never held", "p1 p2 s1 p1! p2!", "s1"},
		{"nor do they count", "p1 p2 p3 p4 s1 s2 s3 s1! s2!", "p1 p2 p3 p4 s1? s2? s3"},
		{"who comes back is no longer missing", "s1 s2 s3 s1! s2! s3! s2", "s1? s2 s3?"},
		{"the held stay for hours while they are most", "s1 s2 s3 s1! s2! +5h", "s1? s2? s3"},
		{"a minority is held for a grace", "s1 s2 s3 s1! s2! s1 +20s", "s1 s2? s3"},
		{"and then is gone", "s1 s2 s3 s1! s2! s1 +31s", "s1 s3"},
		{"new servers make up for the held too", "s1 s2 s3 s1! s2! s4 +31s", "s3 s4"},
		{"the grace begins anew when they are most again", "s1 s2 s3 s1! s2! s1 +20s s1! s3! +20s s1 +20s", "s1 s2? s3?"},
		{"who comes back may then leave", "s1 s2 s1! s2! s1 s1~ s1!", "s2?"},
		{"who was held and back may fail alone", "s1 s2 s3 s1! s2! s1 s2 +60s s2!", "s1 s3"},
		{"nobody knows who is gone", "s1 s9!", "s1"},
		{"gone twice is gone once", "s1 s2 s3 s1! s1!", "s2 s3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := script(t, tt.events); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.events, got, tt.want)
			}
		})
	}
}

func TestRosterSaysWhenToAskAgain(t *testing.T) {
	r, now := newRoster(), time.Unix(1000, 0)
	for _, word := range strings.Fields("s1 s2 s3 s1! s2!") {
		play(r, word, now)
	}
	if _, again := r.list(now); !again.IsZero() {
		t.Errorf("while most are missing it asks to come back at %v", again)
	}
	play(r, "s1", now)
	_, again := r.list(now)
	if want := now.Add(heldGrace); !again.Equal(want) {
		t.Fatalf("it asks to come back at %v, want %v", again, want)
	}
	if peers, again := r.list(again); describe(peers) != "s1 s3" || !again.IsZero() {
		t.Errorf("then it lists %q and asks to come back at %v", describe(peers), again)
	}
}

// Whatever happens: the list is sorted and without doubles, a member that is there is listed as there, and as long as
// servers only fail, some server is listed.
func TestRosterProperties(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		r, now := newRoster(), time.Unix(1000, 0)
		here, servers, played := map[string]bool{}, false, []string{}
		for range 100 {
			now = now.Add(time.Duration(random.IntN(8000)) * time.Millisecond)
			name := fmt.Sprintf("%c%d", "pss"[random.IntN(3)], random.IntN(6))
			if random.IntN(2) == 0 {
				here[name] = true
				servers = servers || name[0] == 's'
			} else {
				delete(here, name)
				name += "!"
			}
			played = append(played, name)
			play(r, name, now)
			peers, _ := r.list(now)

			listed := map[string]bool{}
			for _, p := range peers {
				if !p.Missing {
					listed[p.Name] = true
				}
			}
			byName := func(a, b peer) int { return strings.Compare(a.Name, b.Name) }
			unique := slices.CompactFunc(slices.Clone(peers), func(a, b peer) bool { return a.Name == b.Name })
			switch isServer := func(p peer) bool { return p.Role == Server }; {
			case !slices.IsSortedFunc(peers, byName) || len(unique) != len(peers):
				t.Fatalf("after %v the list is %s", played, describe(peers))
			case !maps.Equal(listed, here):
				t.Fatalf("after %v %v are there, and the list is %s", played, here, describe(peers))
			case servers && !slices.ContainsFunc(peers, isServer):
				t.Fatalf("after %v no server is left", played)
			}
		}
	}
}
