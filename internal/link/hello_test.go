package link

import (
	"errors"
	"strings"
	"testing"
)

func TestHelloAccepts(t *testing.T) {
	us := func(version, oldest uint16) hello { return hello{version, oldest, roleProxy, "proxy-1"} }
	them := func(version, oldest uint16) hello { return hello{version, oldest, roleServer, "server-1"} }
	for name, c := range map[string]struct {
		ours, theirs hello
		wrong        []string // what the error says; none means there is none
	}{
		"the same version":                {us(1, 1), them(1, 1), nil},
		"one that understands ours":       {us(1, 1), them(2, 1), nil},
		"one that we understand":          {us(2, 1), them(1, 1), nil},
		"one that is two ahead":           {us(1, 1), them(3, 2), []string{"version 3", "this node 1", "upgrade"}},
		"one that is two behind":          {us(3, 2), them(1, 1), []string{"version 1", "this node 3"}},
		"neighbours that share no tongue": {us(2, 2), them(1, 1), []string{"version 1", "this node 2"}},
		"another role":                    {us(1, 1), us(1, 1), []string{`"proxy-1" is a proxy, not a server`}},
		"an unknown role":                 {us(1, 1), hello{1, 1, 9, "x"}, []string{"unknown role 9"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.ours.accept(c.theirs, roleServer)
			if (err == nil) != (c.wrong == nil) {
				t.Fatalf("got %v, want an error: %v", err, c.wrong != nil)
			}
			for _, part := range c.wrong {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestHelloLeavesRoomForMore(t *testing.T) {
	want := newHello(roleServer, "server-1")
	got, err := decodeHello(append(appendHello(nil, want), "what a later version says"...))
	if err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestHelloNeedsAName(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", maxNodeName+1)} {
		if _, err := decodeHello(appendHello(nil, newHello(roleServer, name))); !errors.Is(err, errMalformed) {
			t.Errorf("a name of %d bytes: got %v, want %v", len(name), err, errMalformed)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add(appendHello(nil, newHello(roleProxy, "proxy-1")))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := decodeHello(body)
		if err != nil {
			return
		}
		again, err := decodeHello(appendHello(nil, h))
		if err != nil || again != h {
			t.Fatalf("decoded %v, then %v, %v", h, again, err)
		}
	})
}
