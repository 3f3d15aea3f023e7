package main

import "os"

// heapReserve is how much garbage a node may gather at least before it is collected. The collector runs when the heap has
// grown by as much as was alive when it ran last, and of a node that is a few megabytes, however busy it is: under load
// it would run many times a second. So a node takes up to about this much more memory than it would, and no more than
// that however much is alive.
const heapReserve = 16 << 20

// reserveHeap gives what is to be kept alive while a node runs: a block that is never touched, and so costs addresses
// and no memory, but counts as alive. It gives none where the environment says how to collect.
func reserveHeap() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, heapReserve)
}
