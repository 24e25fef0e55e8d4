package engine

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The death signal is bound to the thread that started the child; here that of the caller ends at once.
func TestEngineOutlivesTheThreadThatStartedIt(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir) // for the skip; its folder is free again below
	stop(t, e)
	thread := make(chan int, 1)
	var err error
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		e, err = Start(t.Context(), Config{Dir: dir})
		thread <- syscall.Gettid()
	}()
	id := <-thread
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	if id == os.Getpid() {
		t.Skip("the goroutine ran on the main thread, which does not end")
	}
	task := fmt.Sprintf("/proc/self/task/%d", id)
	for deadline := time.Now().Add(patience); ; time.Sleep(pollInterval) {
		if _, err := os.Stat(task); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the thread did not end")
		}
	}
	response, err := http.Get(e.Endpoint())
	if err != nil {
		t.Fatalf("the engine died with the thread that started it: %v (%v)", err, e.Err())
	}
	response.Body.Close()
}

const runFolder = "ENGINE_TEST_RUN_FOLDER"

// TestRun is the run that TestEngineDiesWithAKilledRun kills.
func TestRun(t *testing.T) {
	dir := os.Getenv(runFolder)
	if dir == "" {
		t.Skip("not a test of its own")
	}
	e := start(t, dir)
	fmt.Printf("engine %d\n", e.process.cmd.Process.Pid)
	<-time.After(patience)
}

func TestEngineDiesWithAKilledRun(t *testing.T) {
	dir := t.TempDir()
	stop(t, start(t, dir)) // for the skip
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRun$")
	run.Env = append(os.Environ(), runFolder+"="+dir)
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var pid int
	for pid == 0 && lines.Scan() {
		if number, ok := strings.CutPrefix(lines.Text(), "engine "); ok {
			if pid, err = strconv.Atoi(number); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := run.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // killed
	if pid == 0 {
		t.Fatal("the run started no engine")
	}
	e, err := Start(t.Context(), Config{Dir: dir}) // refused as long as the other engine lives
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Fatalf("after the run was killed: %v", err)
	}
	stop(t, e)
}
