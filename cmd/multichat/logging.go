package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// logFlags say what a daemon logs, and how.
type logFlags struct {
	LogLevel  string `enum:"debug,info,warn,error,default" default:"default" help:"What is logged: debug, info, warn or error; default is info, and warn in the demo. While a node runs, PUT /loglevel on its --admin changes it."`
	LogFormat string `enum:"auto,text,json" default:"auto" help:"How: text, json, or auto, which is text on a terminal."`
}

// logger logs to w, from the level given or else from standard on. The level can be changed while the logger is used.
func (f logFlags) logger(w io.Writer, standard slog.Level) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(standard)
	if asked, ok := logLevels[f.LogLevel]; ok { // else it is "default"
		level.Set(asked)
	}
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" || f.LogFormat == "auto" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
