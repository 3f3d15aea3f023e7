package cluster

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestMetaComesBackAsItWas(t *testing.T) {
	link4, link6 := netip.MustParseAddrPort("192.0.2.7:9100"), netip.MustParseAddrPort("[2001:db8::7]:65535")
	for _, m := range []Member{
		{Name: "p", Role: Proxy},
		{Name: "p", Role: Proxy, Draining: true, Digest: 1},
		{Name: "s", Role: Server, Link: link4},
		{Name: "s", Role: Server, Link: link6, Draining: true, Digest: math.MaxUint64},
	} {
		b := encodeMeta(m)
		if len(b) > maxMeta || len(b) > memberlist.MetaMaxSize {
			t.Errorf("the meta of %v has %d bytes; the library would panic above %d", m, len(b), memberlist.MetaMaxSize)
		}
		if got, err := decodeMeta(m.Name, b); err != nil || got != m {
			t.Errorf("decodeMeta(encodeMeta(%v)) = %v, %v", m, got, err)
		}
	}
}

func TestANewerMetaIsReadAsFarAsItIsKnown(t *testing.T) {
	want := Member{Name: "s", Role: Server, Link: netip.MustParseAddrPort("192.0.2.7:9100"), Digest: 5}
	b := append(encodeMeta(want), "what a later version appends"...)
	b[0] = metaVersion + 1
	b[2] |= 1 << 7 // a flag of the future
	if got, err := decodeMeta("s", b); err != nil || got != want {
		t.Errorf("decodeMeta = %v, %v; want %v", got, err, want)
	}
}

func TestHostileMetaIsRefused(t *testing.T) {
	good := encodeMeta(Member{Role: Server, Link: netip.MustParseAddrPort("192.0.2.7:9100")})
	changed := func(at int, to byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = to
		return b
	}
	for _, tt := range []struct {
		name, node string
		meta       []byte
	}{
		{"no meta", "s", nil},
		{"all zero", "s", make([]byte, memberlist.MetaMaxSize)},
		{"version 0", "s", changed(0, 0)},
		{"an unknown role", "s", changed(1, 9)},
		{"an address longer than the meta", "s", changed(metaFixed-1, 255)},
		{"an address of 3 bytes", "s", changed(metaFixed-1, 3)},
		{"a server without an address", "s", encodeMeta(Member{Role: Server})},
		{"a server on port 0", "s", encodeMeta(Member{Role: Server, Link: netip.MustParseAddrPort("192.0.2.7:0")})},
		{"a server anywhere", "s", encodeMeta(Member{Role: Server, Link: netip.MustParseAddrPort("0.0.0.0:1")})},
		{"no name", "", good},
		{"a name with a newline", "a\nb", good},
		{"a huge name", strings.Repeat("n", 1<<16), good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := decodeMeta(tt.node, tt.meta); err == nil {
				t.Errorf("it was taken as %v", m)
			}
		})
	}
	for cut := range good {
		if m, err := decodeMeta("s", good[:cut]); err == nil {
			t.Errorf("the first %d bytes were taken as %v", cut, m)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add("p", encodeMeta(Member{Role: Proxy}))
	f.Add("s", encodeMeta(Member{Role: Server, Link: netip.MustParseAddrPort("192.0.2.7:9100"), Draining: true}))
	f.Add("s", encodeMeta(Member{Role: Server, Link: netip.MustParseAddrPort("[2001:db8::7]:9100"), Digest: 1}))
	f.Add("s", encodeMeta(Member{Role: Server, Link: netip.MustParseAddrPort("[::ffff:192.0.2.7]:9100")}))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		m, err := decodeMeta(name, b)
		if err != nil {
			return
		}
		if again, err := decodeMeta(name, encodeMeta(m)); err != nil || again != m {
			t.Errorf("%v came back as %v, %v", m, again, err)
		}
	})
}
