package server_test

import (
	"fmt"
	"slices"
	"testing"

	"multichat/internal/chat"
)

// After a server's death all its clients come to others at the same time.
func TestDevicesThatComeAtOnceShareTheirQueries(t *testing.T) {
	t.Parallel()
	for _, devices := range []int{10, 200} {
		t.Run(fmt.Sprint(devices), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2)
			users := c.addUsersOn(c.otherThan(c.Locate(chat.Everyone)), devices+1)
			n := c.serve()
			var clients []*client
			for _, user := range users {
				if _, err := n.send(user, "nobody", "id", "the password is known now"); codeOf(err) != chat.CodeNoUser {
					t.Fatal(err)
				}
				clients = append(clients, newClient(t, user))
			}
			methods := []string{"Users", "OpenCursors", "Newest", "Page", "Bodies", "RaiseCursors", "Append"}
			counts := func() (counts []int) {
				for _, method := range methods {
					counts = append(counts, n.store.count(method))
				}
				return counts
			}
			before := counts()
			held := n.store.prepareHold(t, "OpenCursors")
			clients[0].poll(n)
			<-held.first
			for _, device := range clients[1:] {
				device.poll(n)
			}
			if n.Opening() != devices {
				t.Fatalf("%d devices wait, want %d", n.Opening(), devices)
			}
			held.release()
			eventually(t, "all are known", func() bool {
				return !slices.ContainsFunc(clients, func(d *client) bool { return !n.Knows(d.user, d.addr, d.port) })
			})
			// One batch was the first device, the other all that came meanwhile.
			for i, want := range []int{0, 2, 2, 0, 0, 0, 0} {
				if got := counts()[i] - before[i]; got != want {
					t.Errorf("%s was called %d times for %d devices, want %d", methods[i], got, devices, want)
				}
			}
		})
	}
}
