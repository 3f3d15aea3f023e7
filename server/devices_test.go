package server_test

import (
	"testing"

	"multichat/internal/chat"
)

// Whoever polls with ever new ports would otherwise have each of them dialled, and fill the memory.
func TestAUserHasABoundedNumberOfDevicesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	var devices []*client
	for i := range chat.MaxDevices {
		device := newClient(t, "alice")
		device.port += uint16(i)
		device.join(n)
		devices = append(devices, device)
	}
	for _, device := range devices {
		device.poll(n) // all of them are there
	}
	one := newClient(t, "alice")
	one.port += chat.MaxDevices
	one.poll(n)
	eventually(t, "one more is dropped and counted", func() bool { return n.drops("devices_full") == 1 })
	if n.Knows("alice", one.addr, one.port) {
		t.Error("one more device is in memory")
	}
	newClient(t, "bob").join(n) // others are not concerned
	n.say("bob", "alice", "hello")
	devices[0].gets(n, "hello")
	one.join(n) // once one of the others has stopped polling
}

// Somebody who runs one receiver after another reads on, and not again: what the last one got is what the next begins at,
// though the store need not know it yet.
func TestAReceiverAfterAnotherReadsOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	for i, text := range []string{"1", "2", "3"} {
		receiver := newClient(t, "bob")
		receiver.port += uint16(i)
		n.say("alice", "bob", text)
		receiver.gets(n, text)
		n.say("alice", chat.Everyone, "all "+text)
		receiver.gets(n, text, "all "+text)
	}
}
