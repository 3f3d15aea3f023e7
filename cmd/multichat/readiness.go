package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// check is one thing that a node is asked about by /readyz.
type check struct {
	name    string
	err     error  // why the node is not ready for it
	warning string // what is wrong with it, though the node serves
}

// What /readyz says. Probes look at the status alone; the health command reads this, too.
const (
	readyText    = "ok"
	notReadyText = "not ready: "
)

// checks are all that is asked about now.
func (a *admin) checks() []check {
	draining := check{name: "draining"}
	if a.draining.Load() {
		draining.err = errors.New("the node is draining")
	}
	return append([]check{draining}, (*a.looks.Load())()...)
}

// handleReady says whether the node serves: by its status, and by the first reason why it does not. With ?verbose it
// says what became of each check.
func (a *admin) handleReady(w http.ResponseWriter, r *http.Request) {
	checks := a.checks()
	verdict, status := readyText, http.StatusOK
	if failed := slices.IndexFunc(checks, func(c check) bool { return c.err != nil }); failed >= 0 {
		verdict, status = notReadyText+checks[failed].err.Error(), http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.URL.Query().Has("verbose") {
		printChecks(w, checks)
	}
	fmt.Fprintln(w, verdict)
}

// printChecks prints a line for each check, which begins with what became of it.
func printChecks(w io.Writer, checks []check) {
	for _, c := range checks {
		switch {
		case c.err != nil:
			fmt.Fprintf(w, "failed  %s: %v\n", c.name, c.err)
		case c.warning != "":
			fmt.Fprintf(w, "warning %s: %s\n", c.name, c.warning)
		default:
			fmt.Fprintf(w, "ok      %s\n", c.name)
		}
	}
}
