package server_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"multichat/internal/mysqltest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		mysqltest.Stop()
		os.Exit(code)
	}))
}
