package mysqltest

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a server program that was started. No goroutine belongs to it: it is waited for when it is killed.
type process struct {
	*os.Process
	life *os.File // reading it ends when the process has
}

// startProcess starts a program whose output is added to a file.
func startProcess(path string, args []string, output string) (*process, error) {
	out, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	life, held, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer held.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{held}
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		life.Close()
		return nil, err
	}
	return &process{Process: cmd.Process, life: life}, nil
}

// endsWithin waits for the process to end, no longer than d.
func (p *process) endsWithin(d time.Duration) bool {
	p.life.SetReadDeadline(time.Now().Add(d))
	_, err := p.life.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// kill kills the process, also a suspended one, and waits until it is gone.
func (p *process) kill() error {
	p.life.Close()
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_, err := p.Wait()
	return err
}

// suspend stops the process and waits until it has stopped.
func (p *process) suspend() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(p.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case status.Stopped():
			return nil
		default:
			return errors.New("the server had ended already")
		}
	}
}

func (p *process) resume() error { return p.Signal(syscall.SIGCONT) }
