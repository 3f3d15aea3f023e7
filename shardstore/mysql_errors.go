package shardstore

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/go-sql-driver/mysql"
)

// Errors of MySQL and MariaDB that something is decided by.
const (
	mysqlDiskFull        = 1021
	mysqlTooMany         = 1040
	mysqlNoRights        = 1044
	mysqlWrongPassword   = 1045
	mysqlNullValue       = 1048
	mysqlNoDatabase      = 1049
	mysqlShuttingDown    = 1053
	mysqlDuplicate       = 1062
	mysqlTableFull       = 1114
	mysqlNoTableRight    = 1142
	mysqlNoTable         = 1146
	mysqlPacketTooLarge  = 1153
	mysqlNoHostRight     = 1130
	mysqlLockTimeout     = 1205
	mysqlDeadlock        = 1213
	mysqlNoGlobalRight   = 1227
	mysqlReadOnlyOption  = 1290
	mysqlReadOnlySession = 1792
	mysqlReadOnlyMode    = 1836
	mysqlBinlogStatement = 1665 // a statement that this format of the binlog cannot hold
	mysqlAuthSocket      = 1698 // MariaDB: the account is for the server's own machine
	mysqlNeedsTLS        = 3159
)

func mysqlCode(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

func isDeadlock(err error) bool { return mysqlCode(err) == mysqlDeadlock }

func isReadOnly(err error) bool {
	switch mysqlCode(err) {
	case mysqlReadOnlyOption, mysqlReadOnlySession, mysqlReadOnlyMode:
		return true
	}
	return errors.Is(err, errReadOnly) || errors.Is(err, errNotPrimary)
}

// verdict is the error of a packet that its writer decides by; nil for any other.
func verdict(err error) error {
	switch mysqlCode(err) {
	case mysqlNullValue:
		return errGuard
	case mysqlDuplicate:
		return errDuplicate
	}
	return nil
}

// beforeCommit tells errors that certainly came before a transaction was committed from those of which nobody knows. An
// error that is not listed may be one of COMMIT itself.
func beforeCommit(err error) bool {
	switch mysqlCode(err) {
	case mysqlDiskFull, mysqlNullValue, mysqlDuplicate, mysqlTableFull, mysqlNoTableRight, mysqlNoTable, mysqlPacketTooLarge,
		mysqlLockTimeout, mysqlDeadlock, mysqlReadOnlyOption, mysqlReadOnlySession, mysqlReadOnlyMode, mysqlNoGlobalRight,
		mysqlBinlogStatement:
		return true
	}
	return errors.Is(err, driver.ErrBadConn) // the driver says so only of what it has not sent
}

// openProblem is what a person reads when a database cannot be used as a shard. What may answer later is ErrUnreachable.
func (s *mysqlShard) openProblem(err error) error {
	if already, ok := errors.AsType[*problem](err); ok {
		return already
	}
	kind := ErrUnreachable
	switch mysqlCode(err) {
	case mysqlNoRights, mysqlWrongPassword, mysqlAuthSocket, mysqlNoDatabase, mysqlNoTableRight, mysqlNoGlobalRight,
		mysqlNoHostRight, mysqlNeedsTLS:
		kind = ErrRefused
	}
	if isDistrust(err) {
		kind = ErrRefused
	}
	return problemf(kind, "shard %s: database %s cannot be used: %s: %w", s.name, s.servers.database, diagnoseMySQL(err).remedy, err)
}

func diagnoseMySQL(err error) diagnosis {
	if wrong, ok := errors.AsType[*problem](err); ok {
		if wrong.kind == ErrNotInitialised {
			return diagnosis{"is not ready", "it has not joined a cluster"}
		}
		return diagnosis{"cannot be used", "its settings are wrong"}
	}
	switch mysqlCode(err) {
	case mysqlDiskFull, mysqlTableFull:
		return diagnosis{"is full", "its disk is full; make room"}
	case mysqlTooMany:
		return diagnosis{"is busy", "it has too many connections; raise max_connections"}
	case mysqlWrongPassword, mysqlAuthSocket:
		return diagnosis{"cannot be used", "the account or its password is refused; mend the URL's user or the password's file"}
	case mysqlNoHostRight:
		return diagnosis{"cannot be used", "the account may not come from this host; CREATE USER for it, or for 'USER'@'%'"}
	case mysqlNeedsTLS:
		return diagnosis{"cannot be used", "the account must use TLS; put ?tls=true or ?tls=skip-verify into the URL"}
	case mysqlNoRights, mysqlNoTableRight, mysqlNoGlobalRight:
		return diagnosis{"cannot be used", "the account lacks a right; GRANT ALL on this database to it"}
	case mysqlNoDatabase:
		return diagnosis{"cannot be used", "there is no such database; CREATE DATABASE, or mend the URL"}
	case mysqlNoTable:
		return diagnosis{"cannot be used", "a table is missing; run `multichat shard init` with all shards"}
	case mysqlShuttingDown:
		return diagnosis{"does not answer", "it is shutting down"}
	case mysqlLockTimeout, mysqlDeadlock:
		return diagnosis{"is busy", "another transaction holds its rows; see SHOW PROCESSLIST"}
	case mysqlBinlogStatement:
		return diagnosis{"cannot be used", "its binlog_format is STATEMENT; set it to ROW"}
	case mysqlPacketTooLarge:
		return diagnosis{"cannot take it", "max_allowed_packet is too small"}
	}
	switch {
	case isDistrust(err):
		return diagnosis{"cannot be used", "the server has no TLS, or its certificate is not trusted here; give it one, or put " +
			"?tls=skip-verify or ?tls=false into the URL"}
	case isReadOnly(err):
		return diagnosis{"cannot be written", "it is read-only; name the host that is written in the URL, too"}
	case errors.Is(err, errBehind):
		return behind
	case errors.Is(err, errNoSequencer):
		return headless
	case errors.Is(err, errStale):
		return diagnosis{"is behind", "its server lacks messages that were read before: a replica that has not caught up, or " +
			"a backup that was restored, which takes `multichat shard lift`"}
	case errors.Is(err, context.Canceled):
		return diagnosis{"was not waited for", "it was called off"}
	case noAnswer(err):
		return diagnosis{"does not answer", "see whether the server runs and can be reached"}
	}
	return diagnosis{"cannot be used", "the database refused it"}
}

// isDistrust tells that TLS was asked for, and that the server cannot do it or is not who it should be.
func isDistrust(err error) bool {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	return unverified || errors.Is(err, mysql.ErrNoTLS)
}

func noAnswer(err error) bool {
	network, isNetwork := errors.AsType[net.Error](err)
	return isNetwork && network != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, mysql.ErrInvalidConn) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF)
}
