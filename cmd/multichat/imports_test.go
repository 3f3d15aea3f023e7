package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// forbidden is the table of imports: what each package must never import, directly or through another of ours. A name
// without a dot or "multichat/" before it is one of our packages.
var forbidden = map[string][]string{
	"internal/edge":    {"proxy", "server", "shardstore", "internal/cluster"},
	"internal/link":    {"proxy", "server", "shardstore"},
	"internal/cluster": {"ring", "proxy", "server", "shardstore"},
	"internal/screen":  {"client", "proxy", "server", "ring", "shardstore", "internal/wire", "internal/cluster"},
	"ring":             {"proxy", "server", "shardstore", "internal/cluster", "internal/link", "internal/edge"},
	"shardstore":       {"server", "proxy", "internal/wire", "internal/cluster"},
	"server":           {"shardstore", "database/sql", "github.com/hashicorp/memberlist"},
	"proxy":            {"server", "shardstore", "database/sql"},
	"client":           {"proxy", "server", "ring", "shardstore", "internal/cluster"},
	"internal/chaos":   {"proxy", "server", "ring", "shardstore", "internal/cluster"},
}

// onlyStandard are packages that import the standard library, and of ours only those named.
var onlyStandard = map[string][]string{
	"internal/chat":    {},
	"internal/checker": {"internal/chat"},
	"internal/faults":  {},
	"internal/wire":    {"internal/chat"},
}

// testSupport are packages that only tests may import, and each other.
var testSupport = []string{"internal/mysqltest", "internal/proctest", "shardstore/storetest",
	"internal/chaos", "internal/chaos/remote", "internal/chaos/containers", "internal/chaos/containers/client"}

// onlyImporters names the packages that may import a library directly.
var onlyImporters = map[string][]string{
	"github.com/hashicorp/memberlist":                {"internal/cluster"},
	"github.com/buraksezer/consistent":               {"ring"},
	"modernc.org/sqlite":                             {"shardstore"},
	"github.com/go-sql-driver/mysql":                 {"shardstore", "internal/mysqltest"},
	"github.com/alecthomas/kong":                     {"cmd/multichat"},
	"charm.land/bubbletea/v2":                        {"internal/screen"},
	"charm.land/bubbles/v2/textarea":                 {"internal/screen"},
	"golang.org/x/crypto/argon2":                     {"server"},
	"github.com/HdrHistogram/hdrhistogram-go":        {"internal/bench"},
	"github.com/pressly/goose/v3":                    {"shardstore"},
	"github.com/prometheus/client_golang/prometheus": {"internal/metrics"},
}

// neverDirectly is what a package must not import itself, though what it imports may.
var neverDirectly = map[string][]string{
	"ring":          {"net", "time", "os"},
	"internal/wire": {"net", "os"},
}

const module = "multichat/"

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImportTable(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	for name, banned := range forbidden {
		p := packages[name]
		for _, other := range banned {
			path := other
			if _, ours := packages[other]; ours {
				path = module + other
			} else if !strings.Contains(other, ".") && !strings.Contains(other, "/") {
				t.Errorf("the table bans %s for %s, and there is no such package", other, name)
			}
			if slices.Contains(p.Deps, path) {
				t.Errorf("%s imports %s, directly or through another package", name, other)
			}
		}
	}
	for name, allowed := range onlyStandard {
		for _, path := range packages[name].Deps {
			ours, isOurs := strings.CutPrefix(path, module)
			first, _, _ := strings.Cut(path, "/")
			if isOurs && !slices.Contains(allowed, ours) || !isOurs && strings.Contains(first, ".") && !isVendoredStandard(path) {
				t.Errorf("%s imports %s; it may import the standard library and %v", name, path, allowed)
			}
		}
	}
	for name, p := range packages {
		for _, path := range p.Imports {
			if slices.Contains(neverDirectly[name], path) {
				t.Errorf("%s imports %s", name, path)
			}
			if owners, few := onlyImporters[path]; few && !slices.Contains(owners, name) {
				t.Errorf("%s imports %s, which only %v may", name, path, owners)
			}
			if slices.Contains(testSupport, strings.TrimPrefix(path, module)) && !slices.Contains(testSupport, name) {
				t.Errorf("%s imports %s, which is for tests", name, path)
			}
			if path == module+"cmd/multichat" {
				t.Errorf("%s imports the command", name)
			}
		}
	}
}

// isVendoredStandard tells the standard library's own copies of golang.org/x packages.
func isVendoredStandard(path string) bool { return strings.HasPrefix(path, "vendor/") }

// listPackages asks go list for all packages of the module, by their names below it.
func listPackages(t *testing.T) map[string]goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "multichat/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := make(map[string]goPackage)
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages[strings.TrimPrefix(p.ImportPath, module)] = p
	}
	for _, tables := range []map[string][]string{forbidden, onlyStandard} {
		for name := range tables {
			if packages[name].ImportPath == "" {
				t.Errorf("the table names %s, and there is no such package", name)
			}
		}
	}
	return packages
}
