package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"multichat/internal/metrics"
)

// admin is what operators and probes ask: /livez, /readyz, /metrics and /loglevel, on a listener of its own. It answers
// from before its node exists until the node has ended.
type admin struct {
	listener net.Listener
	metrics  *metrics.Metrics
	log      *slog.Logger
	looks    atomic.Pointer[func() []check] // what decides whether the node serves, and what else is to be known of it
	draining atomic.Bool                    // then it is not ready, whatever looks say

	level        *slog.LevelVar // of log
	settingLevel sync.Mutex     // one change at a time
}

func listenAdmin(addr string, m *metrics.Metrics, log *slog.Logger, level *slog.LevelVar) (*admin, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError("admin", addr, err)
	}
	a := &admin{listener: l, metrics: m, log: log, level: level}
	a.notReady(errors.New("the node is starting"))
	return a, nil
}

// ask makes look what decides whether the node is ready. It must not wait for anything.
func (a *admin) ask(look func() []check) { a.looks.Store(&look) }

// notReady says why the node is not ready, until something else is said.
func (a *admin) notReady(err error) {
	a.ask(func() []check { return []check{{name: "start", err: err}} })
}

// serveAround answers while node runs, and ends node if it cannot.
func (a *admin) serveAround(ctx context.Context, node func(context.Context) error) error {
	ctx, endNode := context.WithCancel(ctx)
	defer endNode()
	answering, end := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, 1)
	go func() { // received from below
		failed <- a.serve(answering)
		endNode()
	}()
	err := node(ctx)
	end()
	return errors.Join(err, <-failed)
}

func (a *admin) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.handleReady)
	mux.HandleFunc("GET /loglevel", a.handleLogLevel)
	mux.HandleFunc("PUT /loglevel", a.handleSetLogLevel)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.Registry, promhttp.HandlerOpts{}))
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    8 << 10,
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}
