// Package mysqltest gives tests a real MySQL or MariaDB. Only tests may import it.
//
//	func TestMain(m *testing.M) {
//		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
//			mysqltest.Stop()
//			os.Exit(code)
//		}))
//	}
//
//	func TestSomething(t *testing.T) {
//		url, db := mysqltest.Shared(t).Database(t)
//		…
//	}
//
// # Where the database comes from
//
// The first of these that there is:
//
//   - MULTICHAT_TEST_MYSQL, a running server: mysql://USER@HOST:PORT?password-file=PATH, or with USER:PASSWORD. The account
//     must be allowed to create databases. The databases made there are dropped again.
//   - MULTICHAT_TEST_MYSQLD, a server program, or a script that ends in an exec of one.
//   - a mysqld, else a mariadbd, on the PATH or in /usr/sbin. On Debian mysqld may be MariaDB by another name; the program
//     is asked, and a real MySQL preferred.
//
// Without any, tests are skipped; with MULTICHAT_REQUIRE_MYSQL=1 they fail. Tests that kill or configure their server need a
// program, and are skipped too if there is only a running server; with both variables set, each is used for its own.
//
// # A server in a chroot
//
// The script may be one line, such as exec chroot /srv/sid mysqld "$@", and nothing else need be said: the system tells
// what the program sees as its root folder, data is put into that folder's /tmp, and named as the program sees it. It must
// be an exec, so that a signal to the process that was started reaches the server; that is checked.
//
// # How servers run
//
// On a free port of 127.0.0.1, without configuration files, with a password that is new each time. They are durable as a
// shard must be, with binary log and both syncs, and otherwise small. Each begins as a copy of one data folder, which is
// initialised once per test binary. They die with the test binary, however that ends (on Linux). The folder of a killed
// one, multichat-mysql-* among the temporary files, is removed by the next that starts.
package mysqltest
