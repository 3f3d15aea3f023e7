package metrics_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/metrics"
)

// used are metrics of which each has a value: one that counts by label is not shown before.
func used() *metrics.Metrics {
	m := metrics.New()
	m.Polls.Inc()
	m.Sends.WithLabelValues("ok").Inc()
	m.Pushes.WithLabelValues("taken").Inc()
	m.Drops.WithLabelValues("poll_malformed").Inc()
	m.Logins.WithLabelValues("ok").Inc()
	m.StreamEnds.WithLabelValues("client").Inc()
	m.Takeovers.WithLabelValues("ok").Inc()
	m.Members.WithLabelValues("server").Set(3)
	m.SetRingDigest(1)
	m.SetBuild("v1.2.3")
	m.WatchShard("a", func() bool { return true })
	m.WatchShard("b", func() bool { return false })
	none := func() float64 { return 0 }
	m.CountLinks(none, none, none, none)
	return m
}

// Dashboards and alerts rely on these names.
func TestNamesAndLabelsAreSettled(t *testing.T) {
	families, err := used().Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		name := family.GetName()
		for _, label := range family.GetMetric()[0].GetLabel() {
			name += "{" + label.GetName() + "}"
		}
		got = append(got, name)
	}
	want := []string{
		"multichat_build_info{goversion}{version}",
		"multichat_drops_total{reason}",
		"multichat_link_pushes_busy_total",
		"multichat_link_refused_total",
		"multichat_link_sends_busy_total",
		"multichat_link_streams_busy_total",
		"multichat_logins_total{outcome}",
		"multichat_members{role}",
		"multichat_polls_total",
		"multichat_pushes_total{outcome}",
		"multichat_ring_digest",
		"multichat_sends_total{outcome}",
		"multichat_server_streams",
		"multichat_shard_up{shard}",
		"multichat_stream_ends_total{reason}",
		"multichat_streams",
		"multichat_takeovers_total{outcome}",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNodesOfOneProcessCountApart(t *testing.T) {
	a, b := used(), metrics.New()
	a.Polls.Inc()
	if polls := testutil.ToFloat64(b.Polls); polls != 0 {
		t.Errorf("the other node counts %v polls", polls)
	}
	if n, err := testutil.GatherAndCount(b.Registry, "multichat_polls_total", "multichat_sends_total"); err != nil || n != 1 {
		t.Errorf("the other node shows %d series, %v; want its polls alone", n, err)
	}
}

func TestAShardIsUpWhileItAnswers(t *testing.T) {
	want := `
# HELP multichat_shard_up Whether a shard answers this server: 1 if it does.
# TYPE multichat_shard_up gauge
multichat_shard_up{shard="a"} 1
multichat_shard_up{shard="b"} 0
`
	if err := testutil.GatherAndCompare(used().Registry, strings.NewReader(want), "multichat_shard_up"); err != nil {
		t.Error(err)
	}
}

func TestMetricsAreOfPrometheusForm(t *testing.T) {
	problems, err := testutil.GatherAndLint(used().Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A gauge is a float: digests that differ in a low bit must not look the same.
func TestRingDigestKeepsIts48LowBits(t *testing.T) {
	for _, tc := range []struct{ digest, shown uint64 }{
		{0, 0},
		{1, 1},
		{1<<48 - 1, 1<<48 - 1},
		{1<<48 - 2, 1<<48 - 2},
		{1 << 48, 0},
		{0xabcd_1234_5678_9abc, 0x1234_5678_9abc},
	} {
		m := metrics.New()
		m.SetRingDigest(tc.digest)
		if got := uint64(testutil.ToFloat64(m.RingDigest)); got != tc.shown {
			t.Errorf("%#x is shown as %#x, want %#x", tc.digest, got, tc.shown)
		}
	}
}
