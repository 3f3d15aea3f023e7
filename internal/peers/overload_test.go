//go:build linux

package peers

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

const (
	overload         = 3                // times what the cluster bears
	overloadTime     = 60 * time.Second // in one round
	overloadTick     = 5 * time.Millisecond
	bearTime         = 3 * time.Second // in which is found out what it bears
	recoveryTime     = 2 * time.Second // after which it is to bear as much again
	otherPolls       = 1000            // a second, of clients that have nothing to do with it
	memorySampleTime = 500 * time.Millisecond
)

// measureOverload offers a cluster three times the messages that it bears.
func measureOverload(t *testing.T, g *ground) Row {
	c := g.newMySQLCluster(t, variant{proxy: unlimited})
	closed, open := startSenders(t, c, unanswered), startSenders(t, c, 1<<30) // the second ones do not wait for answers
	newFlood(t, c.udp, pollDatagrams()).run(t, otherPolls, 2*time.Second)     // passwords are known after that
	streamTurn(t, closed, 0, bearTime)
	r := alone(t, contender{"multichat", func(t *testing.T, _ time.Duration) map[string]float64 { return c.overloaded(t, closed, open) }})
	ours := func(figure string) Series { return r.of("multichat", figure) }
	ratio := func(what, figure, beside string, target Target) Figure {
		return Figure{What: what, Ours: ours(figure), Beside: []Beside{{Name: beside, Theirs: Constant(1, *rounds), Target: target}}}
	}
	return Row{
		Name: fmt.Sprintf("%d times as many messages on %d streams as can be borne, for %v, on MySQL", overload, senders, overloadTime),
		Figures: []Figure{
			{What: "messages offered a second", Ours: ours("offered/s"), Beside: []Beside{
				{Name: "what was borne just before", Theirs: ours("borne/s"), Target: AtLeast(0.9 * overload)}}},
			{What: "messages stored a second", Ours: ours("stored/s"), Beside: []Beside{
				{Name: "what was borne just before", Theirs: ours("borne/s")}}},
			ratio("share that was answered ok or busy", "answered", "limit: all", AtLeast(1)),
			ratio("share of others' polls that reached a server meanwhile", "polls", "limit: all", AtLeast(0.98)),
			{What: "most MiB of all nodes, in the second half", Ours: ours("MiB later"), Beside: []Beside{
				{Name: "in the first half", Theirs: ours("MiB first"), Target: AtMost(1.2)}}},
			{What: fmt.Sprintf("messages stored a second, from %v after the end", recoveryTime), Ours: ours("after/s"), Beside: []Beside{
				{Name: "what was borne just before", Theirs: ours("borne/s"), Target: AtLeast(0.9)}}},
		},
	}
}

// overloaded is one round.
func (c *cluster) overloaded(t *testing.T, closed, open []*sender) map[string]float64 {
	t.Helper()
	stored, took := streamTurn(t, closed, 0, bearTime)
	borne := stored / took.Seconds()

	stopPolls, polls := newFlood(t, c.udp, pollDatagrams()).goOn(t, otherPolls), c.polls(t)
	first, later := c.watchMemory(t, overloadTime)
	begin, before := time.Now(), countAnswers(open)
	offered := float64(sendRegardless(t, open, overload*borne/float64(len(open)), overloadTime))
	offering := time.Since(begin).Seconds()
	polls = (c.polls(t) - polls) / offering / otherPolls
	meanwhile := countAnswers(open).minus(before)
	stopPolls()

	time.Sleep(recoveryTime)
	stored, took = streamTurn(t, closed, 0, bearTime)
	all := countAnswers(open).minus(before) // streamTurn has waited for its own answers, which come behind these
	if all.refused > 0 {
		t.Errorf("%d messages were answered neither ok nor busy, one of them: %v", all.refused, oneRefusal(open))
	}
	return map[string]float64{"borne/s": borne, "offered/s": offered / offering, "stored/s": float64(meanwhile.ok) / offering,
		"answered": float64(all.ok+all.busy) / offered, "busy": float64(all.busy) / offered, "polls": polls,
		"MiB first": <-first, "MiB later": <-later, "after/s": stored / took.Seconds()}
}

// sendRegardless has each sender send so many a second, whatever is answered, and returns how many that were.
func sendRegardless(t *testing.T, all []*sender, rate float64, d time.Duration) (sent int) {
	t.Helper()
	errs := make(chan error, len(all))
	counts := make([]int, len(all))
	var group sync.WaitGroup
	begin := time.Now()
	for i, s := range all {
		group.Go(func() {
			for tick := time.NewTicker(overloadTick); time.Since(begin) < d; <-tick.C {
				for due := int(rate * time.Since(begin).Seconds()); counts[i] < due; counts[i]++ {
					if err := s.send(); err != nil {
						errs <- err
						return
					}
				}
				if err := s.out.Flush(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	for _, n := range counts {
		sent += n
	}
	return sent
}

// watchMemory tells the most MiB that all nodes have in both halves of a time.
func (c *cluster) watchMemory(t *testing.T, d time.Duration) (first, later <-chan float64) {
	halves := [2]chan float64{make(chan float64, 1), make(chan float64, 1)}
	go func() {
		for i := range halves {
			most := 0.0
			for begin := time.Now(); time.Since(begin) < d/2; time.Sleep(memorySampleTime) {
				sum := 0.0
				for _, n := range append([]*node{c.proxy}, c.servers...) {
					sum += n.resident(t)
				}
				most = max(most, sum/mebibyte)
			}
			halves[i] <- most
		}
	}()
	return halves[0], halves[1]
}
