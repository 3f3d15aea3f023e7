//go:build linux

package peers

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"multichat/internal/mysqltest"
)

// What make bench hands on. Without the first one nothing is measured.
var (
	measure = flag.String("measure", "", "bench: core or all rows")
	rounds  = flag.Int("rounds", 5, "bench: how often each contender has its turn")
	seconds = flag.Float64("seconds", 1.5, "bench: how long a turn is")
	write   = flag.String("write", "", "bench: writes the table to this file")
)

// turn is how long a contender is measured at a time.
func turn() time.Duration { return time.Duration(*seconds * float64(time.Second)) }

// TestMain also is the other programs that the rows need: see helpers_test.go.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	switch {
	case *measure == "":
	case os.Getenv(apartVariable) == "":
		code, err := runApart()
		if err == nil {
			return code
		}
		fmt.Println(err, "\nso the machine's own is used, and its firewall takes part: rows with many addresses may fail")
	default:
		if err := startLoopback(); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	defer mysqltest.Stop()
	return m.Run()
}

// row is a row of the table, and how it is measured. It may use what others have used before it.
type row struct {
	name    string
	core    bool
	measure func(*testing.T, *ground) Row
}

var rows = []row{
	{"polls", true, measurePolls},
	{"connections", true, measureConnections},
	{"streams-mysql", true, measureStreamsOnMySQL},
	{"streams-sqlite", true, measureStreamsOnSQLite},
	{"commits", true, measureCommits},
	{"delivery", true, measureDelivery},
	{"idle", false, measureIdlePolls},
	{"broadcast", false, measureBroadcast},
	{"loss", false, measureLoss},
	{"addresses", false, measureAddresses},
	{"growth", false, measureGrowth},
	{"prices", false, measurePrices},
	{"overload", false, measureOverload},
}

func TestBench(t *testing.T) {
	if *measure != "core" && *measure != "all" {
		t.Skip("make bench runs this: it needs the machine for itself for minutes")
	}
	g := newGround(t)
	var table Table
	for _, row := range rows {
		if !row.core && *measure != "all" {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			begin := time.Now()
			fmt.Printf("%s:\n", row.name)
			table = append(table, Row{Name: row.name, Notes: []string{"Not measured: its run says why."}}) // if this is all
			table[len(table)-1] = row.measure(t, g)
			fmt.Printf("  took %v\n", time.Since(begin).Round(100*time.Millisecond))
		})
	}
	report := g.report(table)
	fmt.Printf("\n%s\n", report)
	for _, missed := range table.Missed() {
		fmt.Println("missed:", missed)
	}
	if *write != "" && !t.Failed() {
		if err := os.WriteFile(*write, []byte(report), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// contender does a row's work for a turn, and says what that came to, by the names of figures.
type contender struct {
	name string
	run  func(t *testing.T, turn time.Duration) map[string]float64
}

// results are figures by contender and name.
type results map[string]map[string]Series

// compete gives each contender its turn in each round, and one before the first round that does not count.
func compete(t *testing.T, contenders ...contender) results {
	t.Helper()
	all := make(results)
	for _, c := range contenders {
		all[c.name] = make(map[string]Series)
		c.run(t, turn()/4)
	}
	for round := range *rounds {
		for _, c := range contenders {
			all.round(t, c, round, turn())
		}
	}
	return all
}

// alone has one contender have its turn in each round, and none before.
func alone(t *testing.T, c contender) results {
	t.Helper()
	all := results{c.name: make(map[string]Series)}
	for round := range *rounds {
		all.round(t, c, round, turn())
	}
	return all
}

func (r results) round(t *testing.T, c contender, n int, turn time.Duration) {
	t.Helper()
	fmt.Printf("  round %d of %d: %s", n+1, *rounds, c.name)
	values := c.run(t, turn)
	for name, v := range values {
		r[c.name][name] = append(r[c.name][name], v)
	}
	fmt.Println(shown(values))
}

func (r results) of(contender, figure string) Series { return r[contender][figure] }
