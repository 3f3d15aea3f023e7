// Package chaos is what a run of clients under faults is made of: a [Load] of clients of both versions of the protocol, each
// at an address of its own, that write down what they attempt, are answered and are given; a schedule of faults that
// follows from a seed (a [Plan]); and a [Recorder] that keeps the history and has it judged by multichat/internal/checker.
//
// It knows nothing of how the system runs: whoever makes a run starts it, and does to it what the schedule says.
//
//	recorder := chaos.NewRecorder(history)
//	run := chaos.Run{
//		Clients: chaos.NewLoad(chaos.LoadConfig{…}), Recorder: recorder, Journal: recorder,
//		Schedule: chaos.Plan{…}.Schedule(), System: system,
//	}
//	report, err := run.Do(ctx)
//
// # The clients
//
// Half of the messages are to everyone and half to one user, perhaps the sender's own. There are three kinds of clients:
//
//   - streams (stream.go) speak version 2 over a socket, many sends unanswered at a time. They write down what comes over
//     the wire, and behave as clients in the field do: some acknowledge late, out of step, or what there is not. What is
//     refused for the moment, and what nobody knows, they send again under its id, or give up.
//   - library clients (library.go) are multichat/client as a program uses it.
//   - old clients (old.go) speak version 1, of either generation, through one proxy.
package chaos
