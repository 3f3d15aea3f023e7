package mysqltest

import (
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestDatabasesAreApart(t *testing.T) {
	s := Shared(t)
	first, one := s.Database(t)
	second, two := s.Database(t)
	if first == second {
		t.Fatalf("both are %s", first)
	}
	execute(t, one, "CREATE TABLE t (n INT PRIMARY KEY)")
	execute(t, two, "CREATE TABLE t (n INT PRIMARY KEY)")
	execute(t, one, "INSERT INTO t VALUES (1)")
	if n := ask[int](t, two, "SELECT COUNT(*) FROM t"); n != 0 {
		t.Errorf("the other database has %d rows", n)
	}
	if s.own == nil {
		return // both are the account's that the environment names
	}
	if _, err := two.ExecContext(t.Context(), "DELETE FROM "+databaseOf(t, first)+".t"); !isDenied(err) {
		t.Errorf("an account writes to another's database: %v", err)
	}
	if _, err := two.ExecContext(t.Context(), "SET GLOBAL max_connections = 5"); !isDenied(err) {
		t.Errorf("an account may set up the server: %v", err)
	}
}

func TestURLIsOfAnAccountAndTheFileOfItsPassword(t *testing.T) {
	s := Shared(t)
	text, db := s.Database(t)
	check := func(text string) {
		t.Helper()
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		file := u.Query().Get("password-file")
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 || u.Scheme != "mysql" {
			t.Fatalf("%s, its file %v, %v", text, info, err)
		}
		u.Path = ""
		account, err := parseLogin(u.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := account.exec(t.Context(), statement{text: "USE " + databaseOf(t, text)}); err != nil {
			t.Error(err)
		}
	}
	check(text)
	if s.own != nil {
		check(s.Account(t, databaseOf(t, text), `it's a "pass\word" %s`))
		check(s.Account(t, databaseOf(t, text), ""))
	}
	execute(t, db, "CREATE TABLE t (n INT PRIMARY KEY)")
}

func TestNothingIsLeftOnALastingServer(t *testing.T) {
	s := Shared(t)
	db := s.AdminDB(t)
	var text string
	t.Run("a test", func(t *testing.T) {
		text, _ = s.Database(t)
		if s.own != nil {
			s.Account(t, databaseOf(t, text), "")
		}
	})
	name := databaseOf(t, text)
	if n := ask[int](t, db, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", name); n != 0 {
		t.Errorf("database %s is left", name)
	}
	if n := ask[int](t, db, "SELECT COUNT(*) FROM mysql.db WHERE db = ?", name); n != 0 {
		t.Errorf("%d accounts of %s are left", n, name)
	}
}

func TestRunningServerThatTheEnvironmentNames(t *testing.T) {
	own := Start(t)
	// Its account may create databases, and nothing more.
	owner := login{addr: own.Addr(), user: "owner", password: "secret"}
	own.do(t,
		statement{text: "CREATE USER owner IDENTIFIED BY 'secret'"},
		statement{text: "GRANT ALL ON `multichat%`.* TO owner"})

	h := house{found: true, source: source{running: &owner}}
	s, err := h.sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.folder.remove(); err != nil {
			t.Error(err)
		}
	})
	if s.Flavor() != own.Flavor() || s.Log() != "" {
		t.Errorf("a %s with the log %q", s.Flavor(), s.Log())
	}
	_, db := s.Database(t)
	execute(t, db, "CREATE TABLE t (n INT)")
	if _, err := h.newServer("", nil); err != errNoProgram {
		t.Errorf("a server of its own: %v", err)
	}
	t.Setenv("MULTICHAT_REQUIRE_MYSQL", "")
	if v := judge(t, func(t testing.TB) { s.Account(t, "multichat", "") }); !strings.Contains(v.skipped, errNoProgram.Error()) {
		t.Errorf("an account that may not make accounts: %+v", v)
	}

	wrong := house{found: true, source: source{running: &login{addr: own.Addr(), user: "owner", password: "wrong"}}}
	_, err = wrong.sharedServer()
	if refusal, ok := errors.AsType[*mysql.MySQLError](err); !ok || refusal.Number != 1045 {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := wrong.folder.remove(); err != nil {
		t.Error(err)
	}
}

func databaseOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
