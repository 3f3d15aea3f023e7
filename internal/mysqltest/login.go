package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// login is an account at a server.
type login struct {
	addr     string // host:port
	user     string
	password string
}

// parseLogin reads mysql://USER[:PASSWORD]@HOST[:PORT][?password-file=PATH]. No error repeats the URL, which may hold a
// password.
func parseLogin(text string) (*login, error) {
	const form = "write mysql://USER@HOST:PORT?password-file=PATH"
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "mysql" || u.User.Username() == "" || u.Hostname() == "" {
		return nil, errors.New("this is no URL of a MySQL server and an account; " + form)
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("the URL names a database, and tests make their own; " + form)
	}
	l := &login{addr: u.Host, user: u.User.Username()}
	l.password, _ = u.User.Password()
	if u.Port() == "" {
		l.addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	for name, values := range u.Query() {
		if name != "password-file" {
			return nil, fmt.Errorf("unknown setting %q; %s", name, form)
		}
		b, err := os.ReadFile(values[0])
		if err != nil {
			return nil, fmt.Errorf("the password cannot be read: %w", err)
		}
		l.password = strings.TrimRight(string(b), " \t\r\n")
	}
	return l, nil
}

// open gives the account's connections to a database, or to none. They take any answer within a minute for one, which is
// longer than a server makes anybody wait for a lock.
func (l *login) open(database string) *sql.DB { return l.openTLS(database, "preferred") }

// openClear is open without encryption.
func (l *login) openClear(database string) *sql.DB { return l.openTLS(database, "false") }

func (l *login) openTLS(database, tls string) *sql.DB {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", l.addr, l.user, l.password, database
	cfg.TLSConfig, cfg.AllowFallbackToPlaintext = tls, tls == "preferred"
	cfg.InterpolateParams, cfg.ParseTime = true, true // CREATE USER takes no parameters otherwise
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = 5*time.Second, time.Minute, time.Minute
	cfg.Logger = &mysql.NopLogger{} // a connection broken by a test is no news
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		panic("mysqltest: " + err.Error()) // nothing in cfg but the account comes from outside
	}
	return sql.OpenDB(connector)
}

// exec runs statements on one connection of their own.
func (l *login) exec(ctx context.Context, statements ...statement) error {
	db := l.open("")
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s.text, s.args...); err != nil {
			return fmt.Errorf("%s: %w", s.text, err)
		}
	}
	return nil
}

type statement struct {
	text string
	args []any
}

// version asks the server what it is.
func (l *login) version(ctx context.Context) (version string, err error) {
	db := l.open("")
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return version, err
}

// url is the account's URL of a database in multichat's form.
func (l *login) url(database, passwordFile string) string {
	u := url.URL{
		Scheme:   "mysql",
		User:     url.User(l.user),
		Host:     l.addr,
		Path:     "/" + database,
		RawQuery: url.Values{"password-file": {passwordFile}}.Encode(),
	}
	return u.String()
}
