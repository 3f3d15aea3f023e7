// Package peers measures multichat beside its peers and its limits: what others do with the same work, and what the machine
// can do at most, in the same run on the same machine.
//
//	make bench        the core rows, in some three minutes
//	make bench-all    all rows, in half an hour
//
// Both print one table and write it to docs/BENCHMARKS.md. Everything but the table is in tests, which go test skips unless
// they are asked for: each needs the machine for itself.
//
// # How it is measured
//
// A row is some work and its contenders: multichat as processes of its own, peers as real programs, and limits, which do less
// than the work needs. In each of five rounds every contender has its turn, one after another, unless the row says otherwise: a machine that is slow for a
// while is slow for all of them. A ratio is taken within its round, and what the table shows of all five is the median, with
// the least and the greatest.
//
// The load generator shares the cores with whom it measures, so rates alone would say too little. CPU seconds are those of the
// processes that do the work, user and system together, and never the load generator's. What was offered and not done, because
// it was dropped, refused or lost, does not count as done.
//
// A run has a network of its own, where the system lets it: a machine's firewall looks at every packet, and its table of connections
// is full after some hundred thousand of them, as many as a run makes.
//
// # What is real and what is not
//
// Multichat runs as its users run it, one proxy and two servers, over durable shards, with all checks on but the limits of what
// one user may send, since few users stand for many. Passwords are hashed at a small price: the hash is no part of any row, since
// it is made once per user and the rows begin after that.
package peers
