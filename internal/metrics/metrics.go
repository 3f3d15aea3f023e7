// Package metrics holds what multichat counts about itself, under the names that dashboards and alerts rely on. No
// label ever names a user or an address, so the number of series is small and fixed.
package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counters of one node. All may be used from many goroutines.
type Metrics struct {
	Registry *prometheus.Registry

	Polls      prometheus.Counter     // polls handed on: by a proxy to a server, by a server to its business logic
	Sends      *prometheus.CounterVec // by outcome: ok, or the code of the error that was answered
	Pushes     *prometheus.CounterVec // messages taken by clients, and pushes that ended otherwise, by outcome
	Drops      *prometheus.CounterVec // what was thrown away unanswered, by reason
	Streams    prometheus.Gauge       // streams of clients that are connected to this node
	Served     prometheus.Gauge       // streams that this node's business logic serves
	Logins     *prometheus.CounterVec // of streams, by outcome: ok, or the code of the error that was answered
	StreamEnds *prometheus.CounterVec // by reason: client, silent, bye, lost, or the code of the error that was said
	Takeovers  *prometheus.CounterVec // of streams whose server was lost, by outcome: ok, or the code of the error
	Members    *prometheus.GaugeVec   // nodes known by gossip, by role
	RingDigest prometheus.Gauge       // low 48 bits of the digest of the servers' ring: equal on all proxies
}

// New makes the counters of a node, in a registry of their own: a process may hold several nodes.
func New() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		Polls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "multichat_polls_total", Help: "Polls handed on."}),
		Sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "multichat_sends_total", Help: "Sends answered, by outcome: ok or an error code."}, []string{"outcome"}),
		Pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "multichat_pushes_total", Help: "Messages taken by clients, and pushes that ended otherwise."},
			[]string{"outcome"}),
		Drops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "multichat_drops_total", Help: "Datagrams and connections dropped unanswered, by reason."},
			[]string{"reason"}),
		Streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "multichat_streams", Help: "Streams of clients that are connected here."}),
		Served: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "multichat_server_streams", Help: "Streams that this server serves, wherever their clients are connected."}),
		Logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "multichat_logins_total", Help: "Logins of streams answered, by outcome: ok or an error code."},
			[]string{"outcome"}),
		StreamEnds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "multichat_stream_ends_total", Help: "Streams that have ended, by reason."}, []string{"reason"}),
		Takeovers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "multichat_takeovers_total", Help: "Streams taken over from a lost server, by outcome: ok, an error code, or no_ticket."},
			[]string{"outcome"}),
		Members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "multichat_members", Help: "Nodes known by gossip, by role."}, []string{"role"}),
		RingDigest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "multichat_ring_digest", Help: "Digest of the ring of servers; equal on all proxies."}),
	}
	m.Registry.MustRegister(m.Polls, m.Sends, m.Pushes, m.Drops, m.Streams, m.Served, m.Logins, m.StreamEnds, m.Takeovers,
		m.Members, m.RingDigest)
	return m
}

// CountLinks publishes what the links of a node count, under names that it gives: link refusals, and sends, pushes and
// logins of streams that met a bound of a link.
func (m *Metrics) CountLinks(refused, sendsBusy, pushesBusy, streamsBusy func() float64) {
	for _, c := range []struct {
		name, help string
		value      func() float64
	}{
		{"multichat_link_refused_total", "Connections that did not become links: another key, version or role.", refused},
		{"multichat_link_sends_busy_total", "Sends answered busy at a bound of a link.", sendsBusy},
		{"multichat_link_pushes_busy_total", "Pushes answered busy at a bound of a link.", pushesBusy},
		{"multichat_link_streams_busy_total", "Logins answered busy at a bound of a link.", streamsBusy},
	} {
		m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, c.value))
	}
}

// SetBuild publishes which build this is.
func (m *Metrics) SetBuild(version string) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "multichat_build_info", Help: "1, with what was built and by which Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.Registry.MustRegister(build)
}

// WatchShard publishes whether a shard answers at present. Its name is the operators', as in --shard.
func (m *Metrics) WatchShard(name string, answers func() bool) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "multichat_shard_up", Help: "Whether a shard answers this server: 1 if it does.",
		ConstLabels: prometheus.Labels{"shard": name}},
		func() float64 {
			if answers() {
				return 1
			}
			return 0
		}))
}

// SetRingDigest publishes the digest of the ring's table. A gauge is a float, which holds 48 bits exactly.
func (m *Metrics) SetRingDigest(digest uint64) {
	m.RingDigest.Set(float64(digest & (1<<48 - 1)))
}
