package shardstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"multichat/internal/chat"
)

// mysqlServers are the hosts of one shard, of which one at a time can be written. They are tried one after another,
// beginning behind the one that failed last.
type mysqlServers struct {
	name     string // the shard's, for errors
	hosts    []string
	database string
	base     *mysql.Config
	first    atomic.Int32 // index of the host to begin with

	allowNondurable bool
}

// Bounds of talking to a server. What takes longer has an outcome that nobody knows, and its connection is closed.
const (
	mysqlDialTimeout = time.Second
	mysqlTimeout     = 5 * time.Second
)

func newMySQLServers(name string, at mysqlAddress, opt Options) (*mysqlServers, error) {
	base := mysql.NewConfig()
	base.User, base.DBName, base.Net = at.user, at.database, "tcp"
	base.Timeout, base.ReadTimeout, base.WriteTimeout = mysqlDialTimeout, mysqlTimeout, mysqlTimeout
	base.InterpolateParams, base.ParseTime = true, true
	base.MaxAllowedPacket = mysqlMaxPacket
	base.TLSConfig = at.tls
	base.AllowFallbackToPlaintext = at.tls == "preferred"
	base.Logger = log{slog.Default()}
	password := at.password(opt)
	// Read for each connection, so that a password can be changed while the process runs.
	err := base.Apply(mysql.BeforeConnect(func(_ context.Context, cfg *mysql.Config) error {
		secret, err := password()
		if err != nil {
			return problemf(ErrSpec, "shard %s: its password cannot be read: %w", name, err)
		}
		cfg.Passwd = secret.Reveal()
		return nil
	}))
	if err != nil {
		return nil, problemf(ErrSpec, "shard %s: %w", name, err)
	}
	return &mysqlServers{name: name, hosts: at.hosts(), database: at.database, base: base,
		allowNondurable: opt.AllowNondurable}, nil
}

// password tells where a connection's password comes from, each time anew if that is a file.
func (at mysqlAddress) password(opt Options) func() (chat.Secret, error) {
	file := at.passwordFile
	switch {
	case file != "":
	case at.secret.Len() > 0:
		return func() (chat.Secret, error) { return at.secret, nil }
	case opt.Password.Len() > 0:
		return func() (chat.Secret, error) { return opt.Password, nil }
	case opt.PasswordFile != "":
		file = opt.PasswordFile
	default:
		return func() (chat.Secret, error) { return chat.Secret{}, nil }
	}
	return func() (chat.Secret, error) {
		b, err := os.ReadFile(file)
		return chat.NewSecret(strings.TrimRight(string(b), " \t\r\n")), err
	}
}

// mysqlUse is what a connection is for.
type mysqlUse struct {
	multiStatements bool
	idle            int // seconds without a statement after which the server hangs up, and rolls back
}

var (
	mysqlReads = mysqlUse{idle: 3600}

	// A writer that was stopped or cut off in the middle of a failed transaction holds the sequencer's row until the
	// server hangs up.
	mysqlWrites = mysqlUse{multiStatements: true, idle: 2}
)

// mysqlConnector makes connections to whichever host can be written.
type mysqlConnector struct {
	servers *mysqlServers
	use     mysqlUse
}

// Driver implements [driver.Connector].
func (mysqlConnector) Driver() driver.Driver { return mysql.MySQLDriver{} }

// Connect implements [driver.Connector].
func (c mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	n := len(c.servers.hosts)
	first := int(c.servers.first.Load())
	var errs []error
	for i := range n {
		at := (first + i) % n
		conn, err := c.connect(ctx, c.servers.hosts[at])
		if err == nil {
			c.servers.first.CompareAndSwap(int32(first), int32(at))
			return conn, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	c.servers.first.CompareAndSwap(int32(first), int32((first+1)%n))
	return nil, firstWrong(errs)
}

// firstWrong prefers what a person must mend to what may answer later.
func firstWrong(errs []error) error {
	for _, err := range errs {
		if _, wrong := errors.AsType[*problem](err); wrong {
			return err
		}
	}
	return errors.Join(errs...)
}

func (c mysqlConnector) connect(ctx context.Context, host string) (driver.Conn, error) {
	cfg := c.servers.base.Clone()
	cfg.Addr, cfg.MultiStatements = host, c.use.multiStatements
	// A host that was written and is read-only now is left at once. A writer leaves it too, and says why.
	cfg.RejectReadOnly = c.use != mysqlWrites
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, problemf(ErrSpec, "shard %s: %w", c.servers.name, err)
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, atHost(host, err)
	}
	if err := c.prepare(ctx, conn, host); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// prepare sets the session up, and refuses a server that must not be written.
func (c mysqlConnector) prepare(ctx context.Context, conn driver.Conn, host string) error {
	for _, text := range []string{
		// First, and whatever the server has in mind for its clients: the driver escapes for this one.
		"SET NAMES utf8mb4",
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, completion_type = 0, " +
			"sql_select_limit = 18446744073709551615, lock_wait_timeout = 2, innodb_lock_wait_timeout = 2, wait_timeout = " +
			strconv.Itoa(c.use.idle),
	} {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, text, nil); err != nil {
			return atHost(host, err)
		}
	}
	state, err := readPairs(ctx, conn, serverVariables)
	if err != nil {
		return atHost(host, err)
	}
	if state["group_replication_group_name"] != "" {
		if err := checkMember(ctx, conn); err != nil {
			return atHost(host, err)
		}
	}
	return c.servers.check(host, state)
}

var errNotPrimary = errors.New("it is not a primary of its replication group that is online")

// checkMember refuses a member of a replication group that cannot be written: one that has just left its group is not
// always read-only.
func checkMember(ctx context.Context, conn driver.Conn) error {
	members, err := readPairs(ctx, conn, "SELECT member_state, member_role FROM performance_schema.replication_group_members "+
		"WHERE member_id = @@server_uuid")
	switch {
	case err != nil:
		return fmt.Errorf("look for its place in its replication group, which takes "+
			"GRANT SELECT ON performance_schema.replication_group_members: %w", err)
	case members["ONLINE"] != "PRIMARY":
		return errNotPrimary
	}
	return nil
}

// serverVariables are the settings of a server that matter here.
const serverVariables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'sync_binlog', " +
	"'innodb_flush_log_at_trx_commit', 'binlog_format', 'read_only', 'super_read_only', 'max_allowed_packet', 'version', " +
	"'group_replication_group_name')"

// readPairs reads rows of two columns.
func readPairs(ctx context.Context, conn driver.Conn, text string) (map[string]string, error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, text, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	pairs := make(map[string]string)
	row := make([]driver.Value, 2)
	for {
		err := rows.Next(row)
		if err == io.EOF {
			return pairs, nil
		}
		if err != nil {
			return nil, err
		}
		pairs[fmt.Sprintf("%s", row[0])] = fmt.Sprintf("%s", row[1])
	}
}

var errReadOnly = errors.New("it is read-only")

// check refuses a server that cannot be written, and one that may lose what it has acknowledged.
func (s *mysqlServers) check(host string, state map[string]string) error {
	if state["read_only"] != "OFF" || state["super_read_only"] == "ON" { // the one is all that MariaDB has
		return atHost(host, errReadOnly)
	}
	if state["binlog_format"] == "STATEMENT" {
		return problemf(ErrNotFit, "shard %s: %s has binlog_format=STATEMENT: set it to ROW", s.name, host)
	}
	if packet, err := strconv.Atoi(state["max_allowed_packet"]); err != nil || packet < mysqlMaxPacket {
		return problemf(ErrNotFit, "shard %s: %s takes packets of %s bytes: set max_allowed_packet to %d or more",
			s.name, host, state["max_allowed_packet"], mysqlMaxPacket)
	}
	if lazy := nondurable(state); lazy != "" && !s.allowNondurable {
		return problemf(ErrNotFit, "shard %s: %s may lose what it has acknowledged when it is killed: set %s, "+
			"or give --allow-nondurable where that does not matter", s.name, host, lazy)
	}
	return nil
}

// nondurable names the settings that a server lacks to be durable; empty if it is.
//
// Without a binlog InnoDB shows a commit to readers before it is on disk: a message could be delivered, and be gone
// after a crash.
func nondurable(state map[string]string) string {
	var lacks []string
	for _, want := range [][2]string{{"log_bin", "ON"}, {"sync_binlog", "1"}, {"innodb_flush_log_at_trx_commit", "1"}} {
		if state[want[0]] != want[1] {
			lacks = append(lacks, want[0]+"="+want[1])
		}
	}
	return strings.Join(lacks, ", ")
}

// blame makes new connections begin behind the host in use if err says that it cannot be written.
func (s *mysqlServers) blame(err error) {
	if isReadOnly(err) {
		first := s.first.Load()
		s.first.CompareAndSwap(first, (first+1)%int32(len(s.hosts)))
	}
}

// hostError is an error and the host that it came from.
type hostError struct {
	host string
	err  error
}

func atHost(host string, err error) error { return &hostError{host, err} }

func (e *hostError) Error() string { return e.host + ": " + e.err.Error() }
func (e *hostError) Unwrap() error { return e.err }

// log takes what the driver would print to the process's standard error.
type log struct{ to *slog.Logger }

// Print implements the driver's Logger.
func (l log) Print(v ...any) { l.to.Debug("mysql: " + strings.TrimSpace(fmt.Sprint(v...))) }
