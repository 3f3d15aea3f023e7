package mysqltest

import "syscall"

// dieWithParent has the kernel kill a child when the test binary dies, whatever it dies of. It outlasts an exec.
//
// The kernel means the thread that started the child. Go ends a thread only with a goroutine that ends while it is
// locked to it (runtime.LockOSThread), which no test here does.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
