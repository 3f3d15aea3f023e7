package checker_test

import (
	"bytes"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/checker"
)

// longRun yields a run of 30 clients with 1.5 million deliveries, without holding it.
func longRun() iter.Seq[checker.Record] {
	const clients, messages = 30, 51_725
	return func(yield func(checker.Record) bool) {
		names := make([]string, clients)
		for i := range clients {
			names[i] = fmt.Sprintf("c%02d", i)
			yield(checker.Record{Kind: checker.Device, Client: names[i], User: chat.UserID(names[i]), Version: 1 + i%2})
		}
		for i := range messages {
			at, seq := time.Duration(i)*2*time.Millisecond, chat.SeqAt(int64(i+1), 1)
			by, text := names[i%clients], fmt.Sprintf("%s %d good morning", names[i%clients], i)
			yield(checker.Record{At: at, Kind: checker.Attempt, Client: by, User: chat.UserID(by), To: chat.Everyone, Text: text})
			yield(checker.Record{At: at, Kind: checker.OK, Client: by, User: chat.UserID(by), Text: text, Seq: seq})
			for j, name := range names {
				if name == by {
					continue
				}
				d := checker.Record{At: at, Kind: checker.Delivery, Client: name, User: chat.UserID(name), From: chat.UserID(by),
					Text: string([]byte(text))} // a text of its own, as from a connection
				if j%2 == 1 {
					d.To, d.Seq = chat.Everyone, seq
				}
				yield(d)
			}
			if i%500 == 100 {
				yield(checker.Record{At: at, Kind: checker.FaultBegin, Fault: "kill", Target: "server-1"})
			}
			if i%500 == 200 {
				yield(checker.Record{At: at, Kind: checker.FaultEnd, Fault: "kill", Target: "server-1"})
			}
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for b.Loop() {
		c := checker.New()
		for r := range longRun() {
			c.Add(r)
		}
		report := c.Report()
		if err := report.Err(); err != nil || report.Delivered < 1_500_000 {
			b.Fatal(err, report.Delivered)
		}
		b.StopTimer()
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		runtime.KeepAlive(c)
		b.ReportMetric(float64(mem.HeapAlloc>>20), "MB-held")
		b.StartTimer()
	}
}

func BenchmarkHistory(b *testing.B) {
	var file bytes.Buffer
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			file.Reset()
			w := checker.NewWriter(&file)
			for r := range longRun() {
				w.Add(r)
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(file.Len()>>20), "MB")
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			for _, err := range checker.Read(bytes.NewReader(file.Bytes())) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
