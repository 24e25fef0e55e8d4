package engine

import "syscall"

// childAttributes: a process group of its own, so that Ctrl-C at the terminal reaches this process, which then stops
// the engine in order. macOS has no death signal: after a killed run the engine is left, holding the lock on its folder.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
