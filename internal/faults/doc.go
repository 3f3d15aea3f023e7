// Package faults holds mistakes that a build for tests makes on purpose, so that a test that looks for lost or doubled
// messages can be seen to find some. A check that stays green beside such a mistake is worth nothing.
//
// Only go build -tags faults makes such a build. It makes no mistake unless the environment names one when the process
// starts, in a list with commas:
//
//	MULTICHAT_FAULTS=dedupe-off,clock=+5m
//
//	dedupe-off          what is sent again under its id is stored again       shown as: twice
//	ok-before-commit    a message is acknowledged before it is stored         shown as: lost, once a server or a shard dies
//	cursor-before-ack   what is pushed counts as acknowledged                 shown as: lost, once a client or a proxy dies
//	push-past-position  own rows are pushed before others' older ones         shown as: lost, with two servers that commit
//	links-in-clear      links have no TLS, and believe whoever connects       shown as: nothing; it is what TLS costs
//	clock=±DURATION     this process's clock is wrong by so much              shown as: nothing, while clocks are up to 10 minutes apart
//
// A name that is not on the list ends the process, and what is switched on is told on standard error.
//
// Without the tag all switches are constants that are false, so that nothing of this is in the binary. The code that makes
// a mistake stands where a person would have made it: look for the switch's name.
package faults
