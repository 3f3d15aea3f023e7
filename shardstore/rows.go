package shardstore

import (
	"database/sql"
	"errors"
)

// errEnough ends each without being an error.
var errEnough = errors.New("enough rows")

// each takes what a query returned and calls f for each row. It closes the rows and returns the first error.
func each(rows *sql.Rows, err error) func(f func(*sql.Rows) error) error {
	return func(f func(*sql.Rows) error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := f(rows); err == errEnough {
				return nil
			} else if err != nil {
				return err
			}
		}
		return rows.Err()
	}
}
