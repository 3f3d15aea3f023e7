package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/alecthomas/kong"
)

// misspeltBy is how many letters may be wrong for a variable to be told as misspelt. Others are let alone: orchestrators set
// variables of their own for whatever is called multichat.
const misspeltBy = 2

// tellMisspelt tells of variables that are almost a setting of some command: they are ignored, and nothing else would say so.
func tellMisspelt(w io.Writer, model *kong.Application) {
	known := slices.Compact(slices.Sorted(slices.Values(variables(model.Node))))
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "MULTICHAT_") || slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); len(near) > 0 {
			fmt.Fprintf(w, "multichat: %s is no setting, and is ignored; did you mean %s?\n", name, strings.Join(near, " or "))
		}
	}
}

// nearest are those of the words that a name may be meant to be, the nearest first.
func nearest(name string, words []string) (near []string) {
	by := func(word string) int { return levenshtein.ComputeDistance(name, word) }
	for _, word := range words {
		if by(word) <= misspeltBy {
			near = append(near, word)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return by(a) - by(b) })
	return near[:min(len(near), 3)]
}

// variables are the names of all that a command and those below it read from the environment.
func variables(node *kong.Node) (names []string) {
	if node.Parent == nil {
		names = []string{"MULTICHAT_PASSWORD", "MULTICHAT_SHARD_PASSWORD"} // which are no flags
	}
	for _, flag := range node.Flags {
		names = append(names, flag.Tag.Envs...)
	}
	for _, child := range node.Children {
		names = append(names, variables(child)...)
	}
	return names
}
