package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"multichat/internal/cluster"
)

type configCmd struct {
	Print configPrintCmd `cmd:"" help:"Print every setting in force, and where it comes from."`
}

type configPrintCmd struct {
	Proxy  printProxyCmd  `cmd:"" help:"The settings of a proxy."`
	Server printServerCmd `cmd:"" help:"The settings of a server."`
}

// printProxyCmd takes what a proxy takes, and starts none.
type printProxyCmd struct {
	JSON bool `help:"Print a JSON array with an object for each setting."`
	proxyCmd
}

// printServerCmd takes what a server takes, and starts none.
type printServerCmd struct {
	JSON bool `help:"Print a JSON array with an object for each setting."`
	serverCmd
}

const printHelp = `Give it the flags and the environment that the node gets. It starts nothing, and opens neither files nor shards. A
setting comes from a flag, else from the environment, else it is the default. Passwords are not printed. It ends with 2 if a
setting cannot be taken.`

// Help is printed below the flags' summary.
func (printProxyCmd) Help() string { return printHelp }

// Help is printed below the flags' summary.
func (printServerCmd) Help() string { return printHelp }

func (c *printProxyCmd) Run(parsed *kong.Context, term terminal) error {
	if err := c.print(cluster.Proxy, parsed, term, c.JSON); err != nil {
		return err
	}
	return c.check()
}

func (c *printServerCmd) Run(parsed *kong.Context, term terminal) error {
	if err := c.print(cluster.Server, parsed, term, c.JSON); err != nil {
		return err
	}
	return c.check()
}

// print prints the settings of a node as they are in force: where a default is derived, what it is derived to.
func (f nodeFlags) print(role cluster.Role, parsed *kong.Context, term terminal, asJSON bool) error {
	name, err := f.nodeName(role)
	if err != nil {
		return err
	}
	var printed []printedSetting
	for _, s := range settingsOf(parsed) {
		p := printedSetting{Setting: s.flag.Name, Value: printedValue(s.flag.Target.Interface()),
			Unit: s.flag.Tag.Get("unit"), Source: s.source, From: s.from}
		switch p.Setting {
		case "json":
			continue
		case "name":
			p.Value = name
		case "log-level":
			if f.LogLevel == "default" {
				p.Value = "info"
			}
		}
		printed = append(printed, p)
	}
	printed = withShardPassword(printed)
	printSettings := printSettingTable
	if asJSON {
		printSettings = printSettingJSON
	}
	if err := printSettings(term.out, printed); err != nil {
		return fmt.Errorf("print the settings: %w", err)
	}
	return nil
}

// printedSetting is a setting as config print --json prints it.
type printedSetting struct {
	Setting string `json:"setting"` // the flag's name
	Value   any    `json:"value"`
	Unit    string `json:"unit,omitempty"`
	Source  source `json:"source"`
	From    string `json:"from,omitempty"` // the flag, or the variable
}

const redacted = "(redacted)"

// withShardPassword adds the one setting that is a variable and no flag, where it is in force.
func withShardPassword(printed []printedSetting) []printedSetting {
	const variable = "MULTICHAT_SHARD_PASSWORD"
	at := slices.IndexFunc(printed, func(p printedSetting) bool { return p.Setting == "shard-password-file" })
	if at < 0 || printed[at].Value != "" || os.Getenv(variable) == "" {
		return printed
	}
	return slices.Insert(printed, at+1, printedSetting{Setting: "shard-password", Value: redacted, Source: fromEnvironment, From: variable})
}

// printedValue is a value in words of JSON, without passwords.
func printedValue(value any) any {
	switch v := value.(type) {
	case fmt.Stringer:
		return v.String()
	case shardList:
		urls := []string{}
		for _, one := range v.split() {
			urls = append(urls, urlSecret.ReplaceAllString(one, "://$1:"+redacted+"@"))
		}
		return urls
	case []string:
		return append([]string{}, v...)
	}
	return value
}

func printSettingTable(w io.Writer, printed []printedSetting) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tUNIT\tFROM")
	for _, p := range printed {
		values, ok := p.Value.([]string)
		if !ok {
			values = []string{fmt.Sprint(p.Value)}
		}
		from := p.From
		if p.Source == fromDefault {
			from = string(fromDefault)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", p.Setting, orDash(strings.Join(values, " ")), orDash(p.Unit), from)
	}
	return table.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func printSettingJSON(w io.Writer, printed []printedSetting) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(printed)
}
