package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"multichat/internal/proctest"
)

func TestTheLogLevelOfARunningNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onSQLite, 1)
	c.startServer(0)
	url, server := "http://"+c.admins[0]+"/loglevel", c.servers[0]
	wantAnswer(t, http.MethodGet, url, "", 200, "info\n")
	wantAnswer(t, http.MethodPut, url, "debug\n", 200, "debug\n")
	wantAnswer(t, http.MethodGet, url, "", 200, "debug\n")
	wantAnswer(t, http.MethodPut, url, "loud", 400, "send debug, info, warn or error\n")
	wantAnswer(t, http.MethodPut, url, strings.Repeat("debug", 1000), 400, "send debug, info, warn or error\n")
	wantAnswer(t, http.MethodPut, url, "error", 200, "error\n")

	proctest.Eventually(t, 10*time.Second, func() error { // what a process writes is read a little later
		if !strings.Contains(server.output.String(), `"to":"ERROR"`) {
			return fmt.Errorf("the change is not in the log:\n%s", server.output)
		}
		return nil
	})
	before := lineCount(server)
	c.startProxyKnowing(0, 1) // a member joins, and a link
	if after := lineCount(server); after != before {
		t.Errorf("at level error, %d lines tell of what is no error:\n%s", after-before, server.output)
	}
	wantAnswer(t, http.MethodPut, url, "info", 200, "info\n")
	server.terminate(t)

	var changes []string
	for line := range strings.Lines(server.output.String()) {
		var l struct{ Msg, From, To string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if l.Msg == "log level" {
			changes = append(changes, l.From+">"+l.To)
		}
	}
	if got, want := strings.Join(changes, " "), "INFO>DEBUG DEBUG>ERROR ERROR>INFO"; got != want {
		t.Errorf("the log tells of %q, want %q", got, want)
	}
	if !strings.Contains(server.output.String(), `"msg":"draining"`) {
		t.Errorf("back at level info it tells no more:\n%s", server.output)
	}
}

// What clients do is counted, not logged: a log at level info has a line for each event that an operator must know.
func TestTrafficIsNotLogged(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onSQLite, 2)
	c.startServers()
	proxy, g := c.startProxy(0)
	proctest.Eventually(t, 10*time.Second, func() error {
		if text, err := proctest.Fetch("http://" + c.proxyAdmin + "/readyz?verbose"); err != nil || strings.Contains(text, "warning") {
			return fmt.Errorf("not all is well: %s, %v", text, err)
		}
		return nil
	})
	nodes := append([]*process{proxy}, c.servers...)
	before := make([]int, len(nodes))
	for i, p := range nodes {
		before[i] = lineCount(p)
	}
	old := startOldClient(t, "carol", "127.0.4.41", g, older)
	const rounds = 20
	for i := range rounds {
		alice := startStream(t, "alice", fmt.Sprint("a", i), fmt.Sprint("127.0.4.", 42+i), g.tcp)
		alice.mustSend(t, fmt.Sprint("all ", i), "%", "hello")
		alice.mustSend(t, fmt.Sprint("one ", i), "carol", "hello")
		old.mustSend(t, "alice", "hello")
		alice.close()
		firstReply(t, "127.0.4.70", g.tcp, "poll;v=2;id=in:alice:wrong:0\n")
		firstReply(t, "127.0.4.70", g.tcp, "nonsense\n")
	}
	old.waitFor(t, 2*rounds, 20*time.Second)
	// On a machine that is too busy nodes may have something to say of each other meanwhile; but not once in each round.
	for i, p := range nodes {
		output := p.output.String()
		if more := lineCount(p) - before[i]; more >= rounds || strings.Contains(output, "alice") || strings.Contains(output, "127.0.4.") {
			t.Errorf("%s has logged %d lines, about what clients did:\n%s", p.name, more, output)
		}
	}
}

func lineCount(p *process) (n int) {
	for lines := bufio.NewScanner(strings.NewReader(p.output.String())); lines.Scan(); n++ {
	}
	return n
}

func wantAnswer(t *testing.T, method, url, body string, status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || string(got) != text {
		t.Errorf("%s %q: %d %q, %v; want %d %q", method, body, response.StatusCode, got, err, status, text)
	}
}
