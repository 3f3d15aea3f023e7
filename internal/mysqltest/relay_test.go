package mysqltest

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// relayed is a database with a table, and its connections by way of a relay.
func relayed(t *testing.T) (r *Relay, direct, through *sql.DB) {
	t.Helper()
	s := Shared(t)
	text, direct := s.Database(t)
	execute(t, direct, "CREATE TABLE t (n INT PRIMARY KEY, body LONGTEXT)")
	r = NewRelay(t, s.Addr())
	u, err := url.Parse(r.Through(text))
	if err != nil {
		t.Fatal(err)
	}
	if u.Host != r.Addr() || u.Query().Get("tls") != "false" {
		t.Fatalf("the way through is %s", u)
	}
	u.Path, u.RawQuery = "", "password-file="+u.Query().Get("password-file")
	account, err := parseLogin(u.String())
	if err != nil {
		t.Fatal(err)
	}
	through = account.openClear(databaseOf(t, text))
	t.Cleanup(func() { through.Close() })
	execute(t, through, "INSERT INTO t VALUES (0, 'passes')")
	return r, direct, through
}

// stored waits until the server has a row, which it may have for its own.
func stored(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	for ask[int](t, db, "SELECT COUNT(*) FROM t WHERE n = ?", n) == 0 {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// inBackground runs a statement whose answer may be long in coming.
func inBackground(t *testing.T, db *sql.DB, statement string, args ...any) <-chan error {
	answer := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := db.ExecContext(ctx, statement, args...)
		answer <- err
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return answer
}

func TestRelayThatCutsRepliesLetsRequestsPass(t *testing.T) {
	r, direct, through := relayed(t)
	r.When("INSERT", r.CutReplies)
	answer := inBackground(t, through, "INSERT INTO t VALUES (1, '')")
	stored(t, direct, 1)
	select {
	case err := <-answer:
		t.Errorf("an answer came: %v", err)
	default:
	}
	r.Drop()
	if err := <-answer; err == nil {
		t.Error("the statement succeeded without an answer")
	}
	execute(t, through, "INSERT INTO t VALUES (2, '')")
}

func TestRelayThatCutsARequestHoldsTheRest(t *testing.T) {
	r, direct, through := relayed(t)
	cut := make(chan struct{})
	r.When("INSERT", func() {
		r.CutAfter(10_000)
		close(cut)
	})
	body := strings.Repeat("x", 100_000)
	answer := inBackground(t, through, "INSERT INTO t VALUES (1, ?)", body)
	<-cut
	if n := ask[int](t, direct, "SELECT COUNT(*) FROM t WHERE n = 1"); n != 0 {
		t.Error("half a statement was done")
	}
	r.Resume()
	if err := <-answer; err != nil {
		t.Errorf("the rest did not pass: %v", err)
	}
	if n := ask[int](t, direct, "SELECT LENGTH(body) FROM t WHERE n = 1"); n != len(body) {
		t.Errorf("%d bytes were stored", n)
	}
}

// ends are a connection to a relay, and the one that comes out of it.
func ends(t *testing.T) (r *Relay, client, server *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	r = NewRelay(t, listener.Addr().String())
	for _, connect := range []struct {
		conn **net.TCPConn
		make func() (net.Conn, error)
	}{
		{&client, func() (net.Conn, error) { return net.Dial("tcp", r.Addr()) }},
		{&server, listener.Accept},
	} {
		conn, err := connect.make()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		*connect.conn = conn.(*net.TCPConn)
	}
	return r, client, server
}

func TestRelayThatIsCutPassesSoManyBytesAndNotOneMore(t *testing.T) {
	r, client, server := ends(t)
	r.CutAfter(40)
	client.Write(make([]byte, 30))
	client.Write(make([]byte, 70))
	if _, err := io.ReadFull(server, make([]byte, 40)); err != nil {
		t.Fatal(err)
	}
	r.Drop()
	if rest, _ := io.ReadAll(server); len(rest) != 0 {
		t.Errorf("%d more bytes passed", len(rest))
	}
}

func TestRelayThatIsCutHoldsAClientsCloseToo(t *testing.T) {
	r, client, server := ends(t)
	r.CutAfter(0)
	client.Write([]byte("held"))
	client.Close()
	r.Resume()
	if text, err := io.ReadAll(server); string(text) != "held" {
		t.Errorf("what came is %q, %v", text, err)
	}
}

func TestRelayFindsATextAcrossParts(t *testing.T) {
	r := NewRelay(t, "127.0.0.1:1") // to which nothing is sent
	var calls []string
	for _, text := range []string{"COMMIT", "o C", "BEGIN"} {
		r.When(text, func() { calls = append(calls, text) })
	}
	var seen []byte
	for _, part := range []string{"BEG", "IN; d", "o COMM", "IT", "COMMIT; BEGIN"} {
		seen = r.notice(seen, []byte(part))
	}
	if got := strings.Join(calls, ","); got != "BEGIN,o C,COMMIT" {
		t.Errorf("called %s", got)
	}
	r.When("BEGIN", func() { t.Error("called for what went by before") })
	r.notice(seen, []byte("; COMMIT"))
}

func TestRelayThatRefusesTakesNoNewConnections(t *testing.T) {
	r, _, through := relayed(t)
	through.SetMaxIdleConns(1)
	r.Refuse(true)
	execute(t, through, "INSERT INTO t VALUES (1, '')") // on the connection that is open
	r.Drop()
	if err := through.PingContext(t.Context()); err == nil {
		t.Error("a new connection was made")
	}
	r.Refuse(false)
	execute(t, through, "INSERT INTO t VALUES (2, '')")
}

func TestRelayBeforeAServerThatIsNotThere(t *testing.T) {
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := NewRelay(t, (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String())
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := conn.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestRelayEndsWithConnectionsOpenAndHeld(t *testing.T) {
	t.Run("a test", func(t *testing.T) {
		r, _, through := relayed(t)
		r.CutAfter(0)
		inBackground(t, through, "INSERT INTO t VALUES (1, '')")
	})
}
