package checker

import (
	"time"

	"multichat/internal/chat"
)

// Kind says what a record tells.
type Kind string

const (
	Device     Kind = "device"      // Client reads for User from now on: what is sent later must be given to it
	Attempt    Kind = "attempt"     // Client, of User, sends Text to To
	OK         Kind = "ok"          // that was acknowledged, with Seq
	Err        Kind = "err"         // that was refused for certain, with Code: nothing was stored
	Unknown    Kind = "unknown"     // what became of it is not known: the answer said so, or never came
	Delivery   Kind = "delivery"    // Client was given Text by From
	FaultBegin Kind = "fault begin" // Fault was done to Target
	FaultEnd   Kind = "fault end"   // Target is whole again
)

// Record is one thing that happened. Which fields count depends on Kind.
type Record struct {
	At     time.Duration `json:"at"` // since the run began, in nanoseconds
	Kind   Kind          `json:"kind"`
	Client string        `json:"client,omitempty"` // who saw it; a device of one user, the same in all records
	User   chat.UserID   `json:"user,omitempty"`

	Version int  `json:"version,omitempty"` // of the protocol that a Device speaks: 1 or 2
	Resends bool `json:"resends,omitempty"` // of a Device: it sends again within one attempt, as multichat/client does

	Text string       `json:"text,omitempty"`
	To   chat.Mailbox `json:"to,omitempty"`   // of a Delivery: the mailbox it came by; empty in version 1, which does not say
	From chat.UserID  `json:"from,omitempty"` // of a Delivery
	Seq  chat.Seq     `json:"seq,omitempty"`  // 0 where it is not told
	Code chat.Code    `json:"code,omitempty"`

	Hidden bool `json:"hidden,omitempty"` // of a Delivery: it came over the wire and was not shown, as a repetition

	Fault  string `json:"fault,omitempty"` // what was done, such as kill; with Target's kind it names a kind of fault
	Target string `json:"target,omitempty"`
}
