package engine

import "syscall"

// childAttributes: a process group of its own, so that Ctrl-C at the terminal reaches this process, which then stops
// the engine in order; and death with this process, so that a killed run leaves no engine behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
