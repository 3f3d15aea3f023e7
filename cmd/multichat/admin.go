package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"multichat/internal/metrics"
)

// admin is what operators and probes ask: /livez, /readyz and /metrics, on a listener of its own.
type admin struct {
	listener net.Listener
	metrics  *metrics.Metrics
	ready    func() error // nil error: the node serves
	draining atomic.Bool  // then it is not ready, whatever ready says
}

func listenAdmin(addr string, m *metrics.Metrics, ready func() error) (*admin, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError("admin", addr, err)
	}
	return &admin{listener: l, metrics: m, ready: ready}, nil
}

func (a *admin) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.handleReady)
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
		return err
	}
	return nil
}

func (a *admin) handleReady(w http.ResponseWriter, _ *http.Request) {
	err := a.ready()
	if a.draining.Load() {
		err = errors.New("the node is draining")
	}
	if err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
