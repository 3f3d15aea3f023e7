//go:build !linux

package mysqltest

import "syscall"

// dieWithParent is Linux's. Elsewhere a test binary that is killed leaves its servers behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
