package main_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mistake is something that people do, and what they are told: what happened, to what, and what to do.
type mistake struct {
	name string
	env  []string
	args string // split at spaces; {…} stands for what the catalogue has made
	code int
	says []string
}

var mistakes = []mistake{
	{"no proxy at that port", nil, "send --user alice --to bob --proxy 127.0.0.1:1/2 hi", 4,
		[]string{"127.0.0.1:2", "refused", "see whether a proxy runs there"}},
	{"the two ports swapped", nil, "send --user alice --to bob --proxy {swapped} hi", 4, []string{"refused", "HOST:UDPPORT/TCPPORT"}},
	{"one port where two are needed", nil, "send --user alice --to bob --proxy 127.0.0.1:9001 hi", 2, []string{"two ports", "HOST:9001/9002"}},
	{"TLS spoken to a plain port", nil, "send --user alice --to bob --proxy tls://{tcp} hi", 4, []string{"does not speak TLS", "--tls"}},
	{"a host that does not exist", nil, "send --user alice --to bob --proxy nowhere.invalid hi", 4, []string{"nowhere.invalid", "--proxy"}},
	{"a wrong password", []string{"MULTICHAT_PASSWORD=wrong"}, "send --user alice --to bob --proxy {proxy} hi", 3,
		[]string{"the userid or the password is wrong"}},
	{"a password with a colon", []string{"MULTICHAT_PASSWORD=a:b"}, "send --user alice --to bob --proxy {proxy} hi", 2, []string{"colon"}},
	{"a password as an argument", nil, "send --user alice --to bob --password demo --proxy {proxy} hi", 2, []string{"--password-file"}},
	{"no password at all", []string{"MULTICHAT_PASSWORD="}, "send --user alice --to bob --proxy {proxy} hi", 2,
		[]string{"MULTICHAT_PASSWORD", "--password-file"}},
	{"a recipient who does not exist", nil, "send --user alice --to bbo --proxy {proxy} hi", 1, []string{`no user "bbo"`}},
	{"a userid that cannot be one", nil, "send --user al:ice --to bob --proxy {proxy} hi", 2, []string{"al:ice", ": ; % #"}},
	{"a text over the limit", nil, "send --user alice --to bob --proxy {proxy} {long}", 1, []string{"5000 bytes", "4000"}},
	{"a recipient forgotten", nil, "send --user alice --proxy {proxy} hi", 2, []string{"--to", "send --help"}},
	{"a command misspelt", nil, "sned hi", 2, []string{"sned", "send"}},
	{"a kind of database misspelt", nil, "user add dora --shard a=mysq://x@h/db", 2, []string{"mysq", "mysql://USER@HOST/DB"}},
	{"a shard's password in an argument", nil, "user add dora --shard a=mysql://x:hunter2@h/db", 2,
		[]string{"everybody on this machine can read", "MULTICHAT_SHARD_PASSWORD"}},
	{"a shard without a name", nil, "user add dora --shard sqlite:a.db", 2, []string{"NAME=URL", "a=sqlite:a.db"}},
	{"a shard that was never made", nil, "user add dora --shard a=sqlite:{dir}/none.db", 1, []string{"none.db", "shard init"}},
	{"a folder that is not there", nil, "shard init --shard a=sqlite:{dir}/nowhere/a.db", 2, []string{"nowhere", "make it"}},
	{"shards of two clusters", nil, "user add dora --shard a=sqlite:{dir}/a.db --shard b=sqlite:{dir}/b.db", 1,
		[]string{"another cluster", "shard init"}},
	{"two shards with one name", nil, "shard init --shard a=sqlite:{dir}/c.db --shard a=sqlite:{dir}/d.db", 2, []string{"two shards", "name"}},
	{"a user who is there already", nil, "user add erin --shard a=sqlite:{dir}/a.db", 1, []string{"erin", "already"}},
	{"no key file", nil, "server --cluster-key-file {dir}/none --shard a=sqlite:{dir}/a.db", 2, []string{"none", "keys new"}},
	{"a key file with something else", nil, "server --cluster-key-file {dir}/a.db --shard a=sqlite:{dir}/a.db", 2,
		[]string{"a.db", "keys new"}},
	{"an address without a port", nil, "proxy --cluster-key-file {dir}/key --gossip 127.0.0.1", 2, []string{"--gossip", "HOST:PORT"}},
	{"a seed without a port", nil, "proxy --cluster-key-file {dir}/key --join otherhost", 2, []string{"--join", "otherhost", "HOST:PORT"}},
	{"a port over 65535", nil, "proxy --cluster-key-file {dir}/key --udp :80000", 2, []string{"--udp", "80000"}},
	{"two processes on one port", nil, "proxy --cluster-key-file {dir}/key --gossip 127.0.0.1:0 --udp 127.0.0.1:0 --tcp {tcp}", 1,
		[]string{"{tcp}", "in use", "--tcp"}},
	{"an address of another machine", nil, "proxy --cluster-key-file {dir}/key --gossip 127.0.0.1:0 --udp 192.0.2.1:0 --tcp 127.0.0.1:0", 1,
		[]string{"192.0.2.1", "no address", "--udp"}},
	{"a number that is none, in the environment", []string{"MULTICHAT_MAX_TEXT=lots"}, "proxy --cluster-key-file {dir}/key", 2,
		[]string{`--max-text (from MULTICHAT_MAX_TEXT): "lots" is no whole number`}},
	{"a number that is too great, in the environment", []string{"MULTICHAT_MAX_TEXT=70000"}, "proxy --cluster-key-file {dir}/key", 2,
		[]string{"--max-text (from MULTICHAT_MAX_TEXT) 70000 is not between 1 and 65536"}},
	{"a word that is none, in the environment", []string{"MULTICHAT_LOG_LEVEL=loud"}, "proxy --cluster-key-file {dir}/key", 2,
		[]string{"--log-level (from MULTICHAT_LOG_LEVEL)", `"warn"`}},
	{"a variable that is overridden, and an argument", []string{"MULTICHAT_UDP=:7"}, "proxy --cluster-key-file {dir}/key --udp 7", 2,
		[]string{"--udp 7 is not of the form"}},
	{"a port in use, in the environment", []string{"MULTICHAT_TCP={tcp}"},
		"proxy --cluster-key-file {dir}/key --gossip 127.0.0.1:0 --udp 127.0.0.1:0", 1, []string{"{tcp} is in use", "--tcp (from MULTICHAT_TCP)"}},
	{"a key file that is not there, in the environment", []string{"MULTICHAT_CLUSTER_KEY_FILE={dir}/none"}, "proxy", 2,
		[]string{"--cluster-key-file (from MULTICHAT_CLUSTER_KEY_FILE)", "keys new"}},
	{"a shard's password in a URL that is none, in the environment", []string{"MULTICHAT_SHARD=a=mysql://x:hunter2@h:x/db"},
		"user list", 2, []string{"--shard (from MULTICHAT_SHARD): shard a: its URL names no host"}},
	{"a node's name that cannot be one", nil, "proxy --cluster-key-file {dir}/key --name a/b", 2, []string{`--name`, `"a/b"`, "letters"}},
	{"an admin listener without an address", nil, "proxy --cluster-key-file {dir}/key --admin=", 2, []string{"--admin is empty", "loopback"}},
	{"messages kept for an hour", nil, "server --cluster-key-file {dir}/key --shard a=sqlite:{dir}/a.db --retention 1h", 2,
		[]string{"--retention", "1d or more"}},
	{"a variable misspelt", []string{"MULTICHAT_CLUSTER_KEY_FIEL={dir}/key"}, "proxy", 2,
		[]string{"MULTICHAT_CLUSTER_KEY_FIEL is no setting", "did you mean MULTICHAT_CLUSTER_KEY_FILE?"}},
	{"half of TLS", nil, "proxy --cluster-key-file {dir}/key --tls :9003", 2, []string{"--tls-cert", "--tls-key"}},
	{"an authority that is none", nil, "recv --user alice --proxy tls://127.0.0.1 --tls-ca {dir}/key", 2, []string{"--tls-ca", "PEM"}},
}

func TestMistakesAreAnsweredWithWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, gates := startDemo(t, filepath.Join(dir, "demo"))
	for _, file := range []string{"a.db", "b.db"} { // two clusters
		run(t, "shard", "init", "--shard", strings.TrimSuffix(file, ".db")+"=sqlite:"+filepath.Join(dir, file))
	}
	run(t, "user", "add", "erin", "--shard", "a=sqlite:"+filepath.Join(dir, "a.db"))
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(run(t, "keys", "new")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, udp, _ := net.SplitHostPort(gates[0].udp)
	_, tcp, _ := net.SplitHostPort(gates[0].tcp)
	fill := strings.NewReplacer("{dir}", dir, "{tcp}", gates[0].tcp, "{proxy}", "127.0.0.1:"+udp+"/"+tcp,
		"{swapped}", "127.0.0.1:"+tcp+"/"+udp, "{long}", strings.Repeat("x", 5000))
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(m.args)
			for i := range args {
				args[i] = fill.Replace(args[i])
			}
			begin := time.Now()
			env := []string{"MULTICHAT_PASSWORD=demo"}
			for _, variable := range m.env {
				env = append(env, fill.Replace(variable))
			}
			out, code := runIn(t, env, "", args...)
			if code != m.code {
				t.Errorf("exit code %d, want %d", code, m.code)
			}
			for _, words := range m.says {
				if words = fill.Replace(words); !strings.Contains(out, words) {
					t.Errorf("it does not say %q", words)
				}
			}
			last := out[strings.LastIndex(strings.TrimSuffix(out, "\n"), "\n")+1:]
			if !strings.HasPrefix(last, "multichat: ") || strings.Contains(out, "goroutine") || strings.Contains(out, "hunter2") {
				t.Errorf("the last line is to be an answer to a person, without a secret")
			}
			if t.Failed() {
				t.Logf("after %v it said:\n%s", time.Since(begin), out)
			}
		})
	}
}
