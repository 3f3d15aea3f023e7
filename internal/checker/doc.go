// Package checker judges a run of chat clients: from what each of them attempted, was answered and was given, it tells
// whether the system has kept what protocol's "What delivery promises" says (see [multichat/internal/wire]).
//
//	c := checker.New()
//	c.Add(checker.Record{Kind: checker.Device, Client: "c1", User: "alice", Version: 2})
//	c.Add(checker.Record{At: t, Kind: checker.Attempt, Client: "c2", User: "bob", To: "alice", Text: "bob 1"})
//	…
//	report := c.Report()
//	fmt.Print(report.String())
//	err := report.Err()
//
// A [Writer] keeps the records of a run in a file, and [Read] reads them, so that the run can be judged again.
//
// The checker knows nothing of how the clients or the system work. What makes it able to judge is the way of the clients:
//
//   - Each message of a run has a text that no other has. It names the message; texts are compared whole, so what was
//     changed on the way is a message that nobody sent. All are short enough for version 1, which is given long ones cut.
//   - A client that reads is announced by a Device record before anything is sent that it must get, and reads to the end.
//     It acknowledges nothing that is stored and was not given to it.
//   - Each attempt is recorded before it is made, and ends in one OK, Err or Unknown. A lost connection is an Unknown. A
//     message that is sent again, under its own id, is attempted again.
//   - What a client of version 2 attempts goes out in that order, over one connection at a time. One that sends again out
//     of the record's sight says so: its order is then not judged.
//   - Before the last record the system is whole again, and the clients have had time to get what waits.
//
// What was broken twice counts twice, but nothing counts under two names that follows from one mistake: a message whose
// place in its mailbox is in doubt is left out where order is judged.
//
// It has no clock: times are those of the records.
package checker
