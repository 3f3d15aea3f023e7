package containers

import (
	"slices"
	"strings"
	"testing"
)

const serverLog = `{"time":"2026-01-01T00:00:00Z","level":"INFO","msg":"serving"}
{"level":"DEBUG","msg":"a device polls","client":"10.0.0.1","port":1000,"user":"alice"}
{"level":"DEBUG","msg":"a stream reads","client":"10.0.0.2","user":"bob","device":"d"}
{"level":"DEBUG","msg":"a reply was not taken","client":"10.0.0.9:77"}
`

func TestClientsSeenElsewhereThanWhereTheyAre(t *testing.T) {
	found := make(seen)
	if err := found.addLines(strings.NewReader(serverLog)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		wanted map[string]int
		want   []string
	}{
		{"as it is", map[string]int{"10.0.0.1": 1, "10.0.0.2": 2}, nil},
		{"behind the address of a gateway", map[string]int{"10.0.0.1": 1, "10.0.0.3": 2}, []string{
			"a server saw a client of version 2 at 10.0.0.2, where none is",
			"no server saw the client of version 2 at its own address 10.0.0.3"}},
		{"of the other version", map[string]int{"10.0.0.1": 2, "10.0.0.2": 2}, []string{
			"a server saw a client of version 1 at 10.0.0.1, where none is",
			"no server saw the client of version 2 at its own address 10.0.0.1"}},
	} {
		got := found.check(test.wanted)
		if slices.Sort(got); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Each fault that may be scheduled can be done and healed.
func TestEachKindOfFaultIsKnown(t *testing.T) {
	for _, target := range targets {
		for _, kind := range target.Kinds {
			if f := faults[kind]; f.begin == nil || f.heal == nil {
				t.Errorf("nobody knows how to do %s to %s", kind, target.Name)
			}
		}
	}
}

const rules = `-P INPUT ACCEPT -c 900 80000
-A INPUT -s 10.0.0.0/24 -c 12 3456 -j DROP
-A INPUT -s 10.0.0.9/32 -c 5 700 -j ACCEPT
-A OUTPUT -d 10.0.0.0/24 -c 30 99 -j DROP
`

func TestPacketsThatRulesHaveDropped(t *testing.T) {
	if n := dropped(rules); n != 42 {
		t.Errorf("%d packets were dropped, want 42", n)
	}
	if n := dropped("-A INPUT -s 10.0.0.0/24 -c 0 0 -j DROP"); n != 0 {
		t.Errorf("%d packets were dropped, want none", n)
	}
}
