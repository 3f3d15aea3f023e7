package main

import (
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// setting is a flag of the command that was called, and where its value comes from.
type setting struct {
	flag   *kong.Flag
	source source
	from   string // the flag as it is written, or the variable's name; empty for a default
}

type source string

const (
	fromFlag        source = "flag"
	fromEnvironment source = "environment"
	fromDefault     source = "default"
)

// settingsOf are the settings of the command that was called, in the order of its help.
func settingsOf(parsed *kong.Context) (settings []setting) {
	for _, p := range parsed.Path {
		for _, flag := range p.Flags {
			if flag.Name != "help" {
				settings = append(settings, originOf(parsed, flag))
			}
		}
	}
	return settings
}

// originOf goes by the order in which kong looks for a value.
func originOf(parsed *kong.Context, flag *kong.Flag) setting {
	if isArgument(parsed, flag.Name) {
		return setting{flag, fromFlag, "--" + flag.Name}
	}
	for _, variable := range flag.Tag.Envs {
		if _, set := os.LookupEnv(variable); set {
			return setting{flag, fromEnvironment, variable}
		}
	}
	return setting{flag, fromDefault, ""}
}

// isArgument tells whether a flag's value comes from the arguments, not from the environment.
func isArgument(parsed *kong.Context, flag string) bool {
	for _, p := range parsed.Path {
		if p.Flag != nil && p.Flag.Name == flag && !p.Resolved {
			return true
		}
	}
	return false
}

// withOrigins names, in what is said of a flag, the variable that its value comes from: whoever is told of a flag looks
// for it in the arguments.
func withOrigins(text string, parsed *kong.Context) string {
	for _, s := range settingsOf(parsed) {
		if s.source == fromEnvironment {
			text = insertBehind(text, "--"+s.flag.Name, " (from "+s.from+")")
		}
	}
	return text
}

// insertBehind inserts into text behind the first place where flag is a whole word.
func insertBehind(text, flag, inserted string) string {
	word := regexp.MustCompile(regexp.QuoteMeta(flag) + `(?:[^a-z0-9-]|$)`)
	at := word.FindStringIndex(text)
	if at == nil {
		return text
	}
	end := at[0] + len(flag)
	return text[:end] + inserted + text[end:]
}

var (
	// envarValue is how kong says that a value which it cannot read is from the environment.
	envarValue = regexp.MustCompile(`(?s)^(--[a-z0-9-]+): (.*) \(from envar (\w+)=".*"\)$`)

	// wantedInt is how kong says that a value is no number.
	wantedInt = regexp.MustCompile(`expected a valid \d+ bit int but got ("[^"]*")`)
)

// parseError is what a person is told of arguments and variables that cannot be taken.
func parseError(err error) string {
	text := wantedInt.ReplaceAllString(withoutSecrets(err), "$1 is no whole number")
	if m := envarValue.FindStringSubmatch(text); m != nil {
		return m[1] + " (from " + m[3] + "): " + m[2]
	}
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parse.Context == nil || parse.Context.Error != nil {
		return text // it is an argument that cannot be read
	}
	return withOrigins(text, parse.Context)
}

// forgetEmpty has variables that are set to nothing count as not set, as they do elsewhere: in a file of settings, an
// address that is left empty would else mean any port of every interface.
func forgetEmpty() {
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); value == "" && strings.HasPrefix(name, "MULTICHAT_") {
			os.Unsetenv(name)
		}
	}
}
