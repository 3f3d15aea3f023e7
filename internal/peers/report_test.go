//go:build linux

package peers

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// shown are figures for a person who waits.
func shown(values map[string]float64) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "  %s %s", number(values[name]), name)
	}
	return b.String()
}

// report is docs/BENCHMARKS.md.
func (g *ground) report(table Table) string {
	return fmt.Sprintf(`# Benchmarks

%s, %d cores (%s), Linux %s, load average %s before the run.
%s.

Each figure is the median of %d rounds, of %v for each contender, with the least and the greatest in brackets. The contenders of a row take turns
within each round, and a ratio is taken within its round, so a machine that is slow for a while is slow for all of them. CPU seconds
are those of the processes that do the work, user and system, without the load generator, which shares the cores. What was dropped,
refused or lost does not count as done. A peer does the same work; a limit does less than the work needs.

%s
## Repeat it

    apt-get install --no-install-recommends %s %s
    make bench        # the rows of a few minutes
    make bench-all    # all rows

on a machine that does nothing else. MySQL is found as for the tests: the comment of internal/mysqltest says how to name one. A peer
or a database that is not there leaves its rows without figures, and is said. This file is written anew by each run. How it is measured
is said in the comment of internal/peers.
`, time.Now().Format("2 January 2006"), runtime.NumCPU(), cpuModel(), kernel(), g.load, g.versions(), *rounds, turn(),
		table.Markdown(), nginx.packages, haproxy.packages)
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(info); m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}

func kernel() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	number, _, _ := strings.Cut(string(release), "-")
	return strings.TrimSpace(number)
}

// versions are those of everything that was measured.
func (g *ground) versions() string {
	all := []string{runtime.Version()}
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		all = append(all, "multichat "+strings.TrimSpace(string(out)))
	}
	for _, p := range []peer{nginx, haproxy} {
		path, err := p.find()
		if err != nil {
			continue
		}
		out, _ := exec.Command(path, "-v").CombinedOutput()
		all = append(all, p.name+" "+string(regexp.MustCompile(`\d+\.\d+\.\d+\S*`).Find(out)))
	}
	if g.database != nil {
		all = append(all, g.database.Flavor()+" "+g.database.Version())
	}
	return strings.Join(all, ", ")
}
