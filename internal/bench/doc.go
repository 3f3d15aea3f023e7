// Package bench finds out what a running cluster bears: clients that are connected all the time send to each other, as fast
// as they are answered or at a given rate, and every answer and every delivery is timed.
//
//	report, err := bench.Run(ctx, bench.Config{Proxies: proxies, Users: users, Password: password, Duration: 10 * time.Second})
//	fmt.Print(report.String())
//
// A run is open where a rate is given: each message has a time at which it is due, and its latency counts from there,
// also when it could not be sent in time. Else a system that stands still for a second would seem slow for one message only
// (Gil Tene's "coordinated omission").
package bench
