package chaos

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock is the time by which records of several processes are put in order: all of a machine have the same, containers too, and
// it does not jump when somebody sets the date.
func Clock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic("chaos: reading the monotonic clock: " + err.Error()) // every kernel has one
	}
	return time.Duration(now.Nano())
}
