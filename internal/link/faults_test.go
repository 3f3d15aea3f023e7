//go:build faults

package link

import (
	"net"
	"testing"
	"time"

	"multichat/internal/faults"
)

func TestLinksInClearAreAnsweredInClear(t *testing.T) { // not parallel: the mistake is the whole process's
	defer func() { faults.LinksInClear = false }()
	for _, clear := range []bool{false, true} {
		faults.LinksInClear = clear
		addr, _ := listen(t, ListenConfig{Handler: handler{}})
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		if _, _, err := exchange(conn, newHello(roleProxy, "stranger"), roleServer); (err == nil) != clear {
			t.Errorf("in clear: %v; a hello in clear is answered: %v", clear, err)
		}
	}
}
