package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// logFlags say what a daemon logs, and how.
type logFlags struct {
	LogLevel  string `enum:"debug,info,warn,error,default" default:"default" help:"What is logged: debug, info, warn or error; default is info, and warn in the demo."`
	LogFormat string `enum:"auto,text,json" default:"auto" help:"How: text, json, or auto, which is text on a terminal."`
}

// logger logs to w, from the level given or else from standard on.
func (f logFlags) logger(w io.Writer, standard slog.Level) *slog.Logger {
	level := standard
	if f.LogLevel != "default" {
		level.UnmarshalText([]byte(f.LogLevel)) // the flag's enum lets only levels through
	}
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" || f.LogFormat == "auto" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
