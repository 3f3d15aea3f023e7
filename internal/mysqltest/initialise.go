package mysqltest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// initialise makes a data folder with an account that may do everything. Both programs can run statements while they do
// it, so that no server is ever up without a password.
func (p *program) initialise(data string, admin login) error {
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	seen, err := p.inside(data)
	if err != nil {
		return err
	}
	account := fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION;\n",
		admin.user, admin.password, admin.user)
	args := append(commonArgs(), "--datadir="+seen, "--tmpdir="+filepath.Dir(seen))
	if p.flavor == MariaDB {
		return p.bootstrapMariaDB(args, account)
	}
	return p.initialiseMySQL(data, args, account)
}

func (p *program) initialiseMySQL(data string, args []string, account string) error {
	file := data + ".sql" // in the data folder, which must be empty, it would be in the way
	if err := os.WriteFile(file, []byte(account), 0o600); err != nil {
		return err
	}
	seen, err := p.inside(file)
	if err != nil {
		return err
	}
	err = p.run(nil, append(args, "--initialize-insecure", "--init-file="+seen, "--secure-file-priv=NULL",
		"--innodb-redo-log-capacity=32M")...)
	if err != nil {
		return err
	}
	// The name by which servers know each other; each copy of the folder makes its own.
	return os.Remove(filepath.Join(data, "auto.cnf"))
}

// bootstrapMariaDB does what mariadb-install-db does, which Debian's mariadb-server-core alone cannot run, and leaves out
// what tests do not need: help texts and the views of sys. With auth_root_socket there is no root without a password.
func (p *program) bootstrapMariaDB(args []string, account string) error {
	var script bytes.Buffer
	script.WriteString("CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket = 'root';\n")
	for _, part := range []string{"system_tables", "performance_tables", "system_tables_data"} {
		pattern := filepath.Join(p.outside(p.share), "m*_"+part+".sql") // mysql_, or mariadb_ since 11
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return fmt.Errorf("%s cannot be initialised: there is no %s", p.path, pattern)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			return err
		}
		script.Write(text)
		script.WriteByte('\n')
	}
	script.WriteString("FLUSH PRIVILEGES;\n" + account)
	return p.run(script.Bytes(), append(args, "--bootstrap", "--innodb-log-file-size=32M", "--innodb-buffer-pool-size=64M")...)
}

func (p *program) run(stdin []byte, args ...string) error {
	cmd := exec.Command(p.path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.SysProcAttr = dieWithParent()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s cannot initialise a data folder: %w: %s", p.path, err, tail(out, 2000))
	}
	return nil
}
