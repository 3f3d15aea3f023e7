package edge

import (
	"bufio"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/metrics"
)

// A client that sends a byte now and then is never silent for long, and would hold its place for ever.
func TestRequestThatIsNotThereAfter30sIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRequestListener(nil, Config{Metrics: metrics.New(), Log: slog.New(slog.DiscardHandler)}.withDefaults())
		client, conn := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			l.handleConn(t.Context(), conn)
		}()
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			_, err := client.Write([]byte("wrmsg:alice:secret:bob:"))
			for ; err == nil; _, err = client.Write([]byte("x")) {
				time.Sleep(4 * time.Second)
			}
		}()

		start := time.Now()
		line, err := bufio.NewReader(client).ReadString('\n')
		if err != nil || !strings.Contains(line, ":badreq:the request was not there") {
			t.Errorf("answered %q, %v", line, err)
		}
		if after := time.Since(start); after != 30*time.Second {
			t.Errorf("answered after %v", after)
		}
		<-served
		if after := time.Since(start); after > 31*time.Second {
			t.Errorf("closed after %v", after)
		}
		<-dripped
		client.Close()
	})
}
