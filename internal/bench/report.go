package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"multichat/internal/chat"
	"multichat/internal/checker"
)

// Report is what a run has shown. Times are in milliseconds.
type Report struct {
	Seconds float64 `json:"seconds"` // of sending
	Users   int     `json:"users"`

	Sent        int64 `json:"sent"`
	Stored      int64 `json:"stored"` // acknowledged: durably stored
	Failed      int64 `json:"failed"`
	Received    int64 `json:"received"`
	Undelivered int64 `json:"undelivered"` // stored, and not received within 15 s after the sending, at least: of what failed, some may have been received

	StoredPerSecond   float64 `json:"stored_per_second"`   // while messages were sent
	ReceivedPerSecond float64 `json:"received_per_second"` // the same

	Errors  map[chat.Code]int64 `json:"errors"`  // of messages that failed, by code; lost: without one
	Retries map[chat.Code]int64 `json:"retries"` // answers after which a message was sent again, by code; lost: the connection was
	Lost    map[chat.Code]int64 `json:"lost"`    // connections that were lost on the way, by code; lost: without one

	Ack      Latency `json:"ack_ms"`      // from the time a message was due to its ok
	Delivery Latency `json:"delivery_ms"` // from the time a message was due to its arrival at a reader

	Verdict *checker.Report `json:"verdict,omitempty"` // of what the clients saw, if they were asked to remember it
}

// Latency is how long something took, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// latencies counts durations: from a microsecond to a minute, to three digits.
type latencies struct{ histogram *hdrhistogram.Histogram }

const maxLatency = time.Minute // what is longer counts as this

func newLatencies() *latencies {
	return &latencies{hdrhistogram.New(1, maxLatency.Microseconds(), 3)}
}

func (l *latencies) add(d time.Duration) {
	l.histogram.RecordValue(min(max(d, time.Microsecond), maxLatency).Microseconds()) // it is in range, so there is no error
}

func (l *latencies) latency() Latency {
	at := func(percent float64) float64 { return float64(l.histogram.ValueAtQuantile(percent)) / 1000 }
	return Latency{at(50), at(90), at(99), float64(l.histogram.Max()) / 1000}
}

func (r *run) report() Report {
	took := r.sending.Elapsed
	r.mu.Lock()
	defer r.mu.Unlock()
	report := Report{
		Seconds: took.Seconds(), Users: len(r.users),
		Sent: r.sent.Load(), Stored: r.stored.Load(), Failed: r.failed.Load(), Received: r.received.Load(),
		Undelivered: max(0, r.expected.Load()-r.received.Load()),
		Errors:      maps.Clone(r.errs), Retries: maps.Clone(r.retries), Lost: maps.Clone(r.lost), Ack: r.acks.latency(), Delivery: r.arrivals.latency(),
	}
	report.StoredPerSecond = float64(r.sending.Stored) / took.Seconds()
	report.ReceivedPerSecond = float64(r.sending.Received) / took.Seconds()
	if r.checker != nil {
		verdict := r.checker.Report()
		report.Verdict = &verdict
	}
	return report
}

// Err is an error if messages were lost, or the checker has found anything else that must not be. That some were refused
// is none: the system says so when it is asked for too much.
func (r *Report) Err() error {
	if r.Verdict != nil {
		return r.Verdict.Err()
	}
	if r.Undelivered > 0 {
		return fmt.Errorf("%d messages were stored and not delivered within %v", r.Undelivered, settleTime)
	}
	return nil
}

// String is the report for a person.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d users sent for %.1f s\n", r.Users, r.Seconds)
	fmt.Fprintf(&b, "stored     %9d  %9.0f/s   of %d sent, %d failed\n", r.Stored, r.StoredPerSecond, r.Sent, r.Failed)
	fmt.Fprintf(&b, "received   %9d  %9.0f/s   %d undelivered\n", r.Received, r.ReceivedPerSecond, r.Undelivered)
	fmt.Fprintf(&b, "\n%-22s %9s %9s %9s %9s\n", "milliseconds", "p50", "p90", "p99", "max")
	for _, row := range []struct {
		name string
		Latency
	}{{"until acknowledged", r.Ack}, {"until received", r.Delivery}} {
		fmt.Fprintf(&b, "%-22s %9.2f %9.2f %9.2f %9.2f\n", row.name, row.P50, row.P90, row.P99, row.Max)
	}
	writeCounts(&b, "failed", r.Errors)
	writeCounts(&b, "sent again after", r.Retries)
	writeCounts(&b, "connections lost", r.Lost)
	if r.Verdict != nil {
		fmt.Fprintf(&b, "\nthe checker's verdict\n%s", r.Verdict)
	}
	return b.String()
}

func writeCounts(b *strings.Builder, name string, counts map[chat.Code]int64) {
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(b, "%s: %s %d\n", name, code, counts[code])
	}
}
