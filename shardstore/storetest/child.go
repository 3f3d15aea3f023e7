package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"multichat/internal/chat"
	"multichat/shardstore"
)

// childEnv holds the task of a process that the suite has started.
const childEnv = "MULTICHAT_STORETEST_CHILD"

// Main is the TestMain of a package that calls [Run]. It also fails if a test leaks a goroutine. end is called after all
// tests; nil is allowed.
func Main(m *testing.M, end func()) {
	if text, ok := os.LookupEnv(childEnv); ok {
		if err := runTask(text, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if end != nil {
			end()
		}
		os.Exit(code)
	}))
}

// Task is what a child process does: initialise the shard and, if it has writers, write.
type Task struct {
	URL     string
	Init    bool
	Writers int    // goroutines, each sending to bob one message after another
	Each    int    // how many each sends; 0 means until the process is killed
	Prefix  string // of the ids
	SameID  bool   // all send one id
}

// runTask does a task in a child. When it is ready it prints a line, and goes on when it reads one; then it prints a line
// for every message that is known to be stored: its seq, its id, and whether it existed.
func runTask(text string, out io.Writer) error {
	var todo Task
	if err := json.Unmarshal([]byte(text), &todo); err != nil {
		return err
	}
	ctx := context.Background()
	fmt.Fprintln(out, "ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	if todo.Init {
		if err := shardstore.Init(ctx, specs(todo.URL), shardstore.Options{}); err != nil {
			return err
		}
	}
	store, err := shardstore.Open(ctx, specs(todo.URL), shardstore.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	errs := make([]error, todo.Writers)
	var printing sync.Mutex
	var wg sync.WaitGroup
	for w := range todo.Writers {
		wg.Go(func() {
			errs[w] = writeMessages(ctx, store, todo, w, func(line string) {
				printing.Lock()
				defer printing.Unlock()
				fmt.Fprintln(out, line)
			})
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// writeMessages is one writer. Its batches hold 1 to 3 messages.
func writeMessages(ctx context.Context, store *shardstore.Store, todo Task, w int, report func(line string)) error {
	shard := store.Shards()[0]
	for n := 0; todo.Each == 0 || n < todo.Each; {
		size := 1 + (w+n)%3
		if todo.Each > 0 {
			size = min(size, todo.Each-n)
		}
		var batch []chat.Submission
		for range size {
			id := fmt.Sprintf("%s-%d-%d", todo.Prefix, w, n)
			if todo.SameID {
				id = todo.Prefix
			}
			batch = append(batch, submission(id, "bob", "text of "+id))
			n++
		}
		stored, err := store.Append(ctx, shard, batch)
		if err != nil {
			return err
		}
		for i, s := range stored {
			if s.Err != nil {
				return s.Err
			}
			report(fmt.Sprintf("%d %s %t", s.Seq, batch[i].ID, s.Existed))
		}
	}
	return nil
}

// Child is a process at its task.
type Child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	err   strings.Builder
}

// ack is a message that a child has reported as stored.
type ack struct {
	Seq     chat.Seq
	ID      chat.MessageID
	Existed bool
}

// Start starts a child and waits until it is ready to begin. It is killed at the test's end.
func Start(t *testing.T, todo Task) *Child {
	t.Helper()
	text, err := json.Marshal(todo)
	if err != nil {
		t.Fatal(err)
	}
	c := &Child{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = &c.err
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait() // an error if finish has waited, or that of the kill
	})
	if !c.lines.Scan() {
		t.Fatalf("a child did not get ready: %v, %s", c.cmd.Wait(), c.err.String())
	}
	return c
}

// Begin lets a child that is ready begin.
func (c *Child) Begin() { fmt.Fprintln(c.in) }

// Process is the child's process.
func (c *Child) Process() *os.Process { return c.cmd.Process }

// next is the next message that the child reports, false at its end.
func (c *Child) next() (ack, bool) {
	var a ack
	if !c.lines.Scan() {
		return a, false
	}
	// A child that is killed may leave a line unfinished: nobody has been told then.
	if _, err := fmt.Sscanf(c.lines.Text(), "%d %s %t", &a.Seq, &a.ID, &a.Existed); err != nil {
		return a, false
	}
	return a, true
}

// finish reads to the child's end, and returns what it reported meanwhile.
func (c *Child) finish() []ack {
	var acks []ack
	for {
		a, ok := c.next()
		if !ok {
			break
		}
		acks = append(acks, a)
	}
	if err := c.cmd.Wait(); err != nil && c.cmd.ProcessState.Exited() {
		c.t.Errorf("a child failed: %v, %s", err, c.err.String())
	}
	return acks
}
