//go:build !linux

package edge

import "syscall"

// bindLate is for Linux.
func bindLate(_, _ string, _ syscall.RawConn) error { return nil }
