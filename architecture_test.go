// Package defter_test holds the tests of the architecture: who may know whom, and that the one table of the system, its
// programs and its local run say the same.
package defter_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"defter/pkg/catalog"
	"defter/pkg/topology"
)

// listed is a package as the go command knows it, without its tests.
type listed struct {
	ImportPath string
	Dir        string
	Standard   bool
	GoFiles    []string
	Imports    []string
}

var packages = sync.OnceValues(func() (map[string]listed, error) {
	command := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,Imports", "./...")
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, &said)
	}
	all := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

func all(t *testing.T) map[string]listed {
	t.Helper()
	found, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// ours are the packages of this module below a folder, by their path in it.
func ours(t *testing.T, folder string) map[string]listed {
	t.Helper()
	found := map[string]listed{}
	for name, p := range all(t) {
		if in, ok := strings.CutPrefix(name, "defter/"); ok && strings.HasPrefix(in+"/", folder) {
			found[in] = p
		}
	}
	return found
}

// dependencies is everything a package needs, itself not counted, with the way to it.
func dependencies(t *testing.T, name string) map[string]string {
	t.Helper()
	known := all(t)
	if _, ok := known[name]; !ok {
		t.Fatalf("there is no package %s", name)
	}
	ways := map[string]string{}
	var visit func(name, way string)
	visit = func(name, way string) {
		for _, needed := range known[name].Imports {
			if _, seen := ways[needed]; !seen && known[needed].ImportPath != "" {
				ways[needed] = way + " → " + needed
				visit(needed, ways[needed])
			}
		}
	}
	visit(name, name)
	return ways
}

// files are a package's parsed files, by name.
func files(t *testing.T, p listed) map[string]*ast.File {
	t.Helper()
	parsed := map[string]*ast.File{}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed[name] = f
	}
	return parsed
}

// uses lists which of a package's names a file uses.
func uses(f *ast.File, imported string) []string {
	local := ""
	for _, i := range f.Imports {
		if value, err := strconv.Unquote(i.Path.Value); err == nil && value == imported {
			if local = path.Base(imported); i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && local != "" && x.Name == local {
				names = append(names, s.Sel.Name)
			}
		}
		return true
	})
	return names
}

// domains are the pure packages, each with the other ones that it may know.
var domains = map[string][]string{
	"pkg/customer":   {"pkg/foreign", "pkg/mailbox"}, // cuts what a field cannot hold; compares addresses
	"pkg/consent":    {"pkg/foreign"},                // how far a time that was told reaches
	"pkg/preference": nil,
	"pkg/money":      nil,
	"pkg/foreign":    nil, // reads values for the others, as the standard library does
	"pkg/mailbox":    {"pkg/foreign"},
	"pkg/order":      {"pkg/foreign", "pkg/money"},
	"pkg/cart":       {"pkg/activity", "pkg/foreign", "pkg/money", "pkg/order"}, // folds what is done with carts, and what ends them
	"pkg/activity":   nil,
	"pkg/journey":    nil,
	"pkg/identity":   nil,
	"pkg/segment":    nil,
	"pkg/product":    {"pkg/money"},
	"pkg/insight":    nil,
	"pkg/source":     nil,
	"pkg/retention":  nil,
	"pkg/channel":    {"pkg/consent", "pkg/preference"},                                                                                                                                                // asks whether a message may be sent
	"pkg/ingest":     {"pkg/activity", "pkg/channel", "pkg/customer", "pkg/foreign", "pkg/insight", "pkg/money", "pkg/order"},                                                                          // says what a message means
	"pkg/record":     {"pkg/cart", "pkg/channel", "pkg/consent", "pkg/customer", "pkg/identity", "pkg/journey", "pkg/order", "pkg/preference", "pkg/retention", "pkg/segment"},                         // folds them side by side
	"pkg/intake":     {"pkg/activity", "pkg/cart", "pkg/channel", "pkg/consent", "pkg/customer", "pkg/foreign", "pkg/identity", "pkg/ingest", "pkg/mailbox", "pkg/order", "pkg/record", "pkg/segment"}, // decides on a whole record what a message becomes
	"pkg/catalog":    {"pkg/activity", "pkg/cart", "pkg/channel", "pkg/consent", "pkg/customer", "pkg/foreign", "pkg/identity", "pkg/insight", "pkg/journey", "pkg/order", "pkg/preference", "pkg/product", "pkg/retention", "pkg/segment", "pkg/source"},
}

// outside are the packages of the standard library that reach beyond the program, or depend on when or where it runs.
var outside = []string{
	"os", "os/exec", "os/signal", "os/user", "net", "net/http", "net/rpc", "net/smtp", "io/fs", "io/ioutil", "embed", "database/sql", "syscall", "unsafe",
	"log", "log/slog", "flag", "math/rand", "math/rand/v2", "crypto/rand", "plugin", "runtime", "testing",
}

// unicode are the tables of Unicode and of the names of domains, which the standard library has only for itself. They are as pure as it.
var unicode = []string{"golang.org/x/text", "golang.org/x/net/idna"}

func isUnicode(imported string) bool {
	return slices.ContainsFunc(unicode, func(table string) bool { return imported == table || strings.HasPrefix(imported, table+"/") })
}

// TestDomainsStandAlone: a domain knows the kernel, the kinds of errors, the standard library and Unicode, and another
// domain only where that is written here.
func TestDomainsStandAlone(t *testing.T) {
	for name, friends := range domains {
		for _, imported := range all(t)["defter/"+name].Imports {
			in, isOurs := strings.CutPrefix(imported, "defter/")
			switch {
			case isOurs && (in == "pkg/eventstore" || in == "pkg/fault" || slices.Contains(friends, in)):
			case !isOurs && (all(t)[imported].Standard && !slices.Contains(outside, imported) || isUnicode(imported)):
			default:
				t.Errorf("%s must not import %s", name, imported)
			}
		}
		for needed, way := range dependencies(t, "defter/"+name) {
			if !all(t)[needed].Standard && !strings.HasPrefix(needed, "defter/") && !isUnicode(needed) {
				t.Errorf("%s needs %s: %s", name, needed, way)
			}
		}
		for _, friend := range friends {
			if !slices.Contains(all(t)["defter/"+name].Imports, "defter/"+friend) {
				t.Errorf("%s may import %s, and does not: take that back", name, friend)
			}
		}
	}
	declaring := map[string]bool{}
	for name, p := range ours(t, "pkg/") {
		for _, f := range files(t, p) {
			if slices.Contains(uses(f, "defter/pkg/eventstore"), "Declare") {
				declaring[name] = true
			}
		}
	}
	for name := range declaring {
		if _, known := domains[name]; !known {
			t.Errorf("%s declares events, and is not among the domains", name)
		}
	}
}

// TestDomainsHaveNoClock: time arrives in commands and envelopes.
func TestDomainsHaveNoClock(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep", "Local"}
	pure := slices.Collect(maps.Keys(domains))
	for _, name := range append(pure, "pkg/eventstore", "pkg/fault", "pkg/topology", "pkg/template", "events") {
		for file, f := range files(t, all(t)["defter/"+name]) {
			for _, used := range uses(f, "time") {
				if slices.Contains(clock, used) {
					t.Errorf("%s/%s uses time.%s", name, file, used)
				}
			}
		}
	}
}

// TestTheKernelStandsAlone: the event store needs the standard library and the kinds of errors, and the latter nothing.
func TestTheKernelStandsAlone(t *testing.T) {
	for name, allowed := range map[string][]string{"defter/pkg/eventstore": {"defter/pkg/fault"}, "defter/pkg/fault": nil, "defter/pkg/topology": nil} {
		for needed, way := range dependencies(t, name) {
			if !all(t)[needed].Standard && !slices.Contains(allowed, needed) {
				t.Errorf("%s", way)
			}
		}
	}
}

// TestFunctionsAreLight: nothing that only generates, tests or runs locally is in a function.
func TestFunctionsAreLight(t *testing.T) {
	heavy := []string{
		"github.com/invopop/", "github.com/swaggest/", "modernc.org/", "pgregory.net/", "testing", "defter/localstack", "defter/bench", "defter/cmd",
		"defter/pkg/eventstore/memory", "defter/pkg/eventstore/storetest", "defter/pkg/openapi/describe",
	}
	functions := ours(t, "functions/")
	if len(functions) == 0 {
		t.Fatal("there are no functions")
	}
	for name := range functions {
		for needed, way := range dependencies(t, "defter/"+name) {
			for _, h := range heavy {
				if needed == h || strings.HasPrefix(needed, strings.TrimSuffix(h, "/")+"/") {
					t.Errorf("%s", way)
				}
			}
		}
	}
}

// TestOnePlaceReadsTheEnvironment of the functions: the settings. Programs that people start read their own.
func TestOnePlaceReadsTheEnvironment(t *testing.T) {
	read := 0
	for name, p := range ours(t, "") {
		allowed := slices.ContainsFunc([]string{"localstack/", "bench/", "cmd/", "pkg/eventstore/storetest/"}, func(folder string) bool {
			return strings.HasPrefix(name+"/", folder)
		})
		for file, f := range files(t, p) {
			for _, used := range uses(f, "os") {
				if slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, used) {
					read++
					if !allowed && name+"/"+file != "pkg/cloud/settings.go" {
						t.Errorf("%s/%s uses os.%s", name, file, used)
					}
				}
			}
		}
	}
	if read == 0 {
		t.Error("nobody reads the environment: the test looks at nothing")
	}
}

// program is what a function's main says.
type program struct {
	handler string
	parts   []string
	lines   int
}

var (
	starts = regexp.MustCompile(`(?m)^func main\(\) \{ cloud\.Run\(app\.(\w+)((?:, \w+\.Part)*)\) \}$`)
	part   = regexp.MustCompile(`(\w+)\.Part`)
)

// programs reads every functions/<name>/main.go.
func programs(t *testing.T) map[string]program {
	t.Helper()
	folders, err := os.ReadDir("functions")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]program{}
	for _, folder := range folders {
		source, err := os.ReadFile(filepath.Join("functions", folder.Name(), "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		start := starts.FindStringSubmatch(string(source))
		if start == nil {
			t.Errorf("%s does more than to start its handler:\n%s", folder.Name(), source)
			continue
		}
		p := program{handler: start[1], lines: bytes.Count(source, []byte("\n"))}
		for _, name := range part.FindAllStringSubmatch(start[2], -1) {
			p.parts = append(p.parts, name[1])
		}
		found[folder.Name()] = p
		if !strings.HasPrefix(string(source), "// Command "+folder.Name()+" is a Lambda function: ") {
			t.Errorf("%s does not say what it is", folder.Name())
		}
		if entries, err := os.ReadDir(filepath.Join("functions", folder.Name())); err != nil || len(entries) != 1 {
			t.Errorf("%s holds %d files, %v", folder.Name(), len(entries), err)
		}
	}
	return found
}

// embedded is the handler of each function in the local run.
func embedded(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "localstack/embedded/functions.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	handlers := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		entry, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, isText := entry.Key.(*ast.BasicLit)
		value, isName := entry.Value.(*ast.SelectorExpr)
		if isText && isName {
			name, err := strconv.Unquote(key.Value)
			if err != nil {
				t.Fatal(err)
			}
			handlers[name] = value.Sel.Name
		}
		return true
	})
	return handlers
}

// TestTheTableTheProgramsAndTheLocalRunAgree: a row, a folder and an entry for each function, with the same handler,
// which is named after it.
func TestTheTableTheProgramsAndTheLocalRunAgree(t *testing.T) {
	started, local := programs(t), embedded(t)
	rows := map[string]bool{}
	for _, row := range topology.Functions {
		if rows[row.Name] {
			t.Errorf("%s has two rows", row.Name)
		}
		rows[row.Name] = true
		program, ok := started[row.Name]
		if !ok {
			t.Errorf("%s has no program", row.Name)
			continue
		}
		handler := ""
		for _, word := range strings.Split(row.Name, "-") {
			if word == "api" {
				word = "API"
			}
			handler += strings.ToUpper(word[:1]) + word[1:]
		}
		if program.handler != handler || local[row.Name] != handler {
			t.Errorf("%s: the program starts app.%s, the local run app.%s, want app.%s", row.Name, program.handler, local[row.Name], handler)
		}
		if program.lines > 25 {
			t.Errorf("%s has %d lines", row.Name, program.lines)
		}
	}
	for name := range started {
		if !rows[name] {
			t.Errorf("functions/%s has no row", name)
		}
	}
	for name := range local {
		if !rows[name] {
			t.Errorf("the local run has %s, which has no row", name)
		}
	}
}

// TestB19_ProgramsHaveThePartsTheyMayUse: a client is made where the row allows its use, and nowhere else.
func TestB19_ProgramsHaveThePartsTheyMayUse(t *testing.T) {
	parts := map[string]string{"bus": topology.Bus, "emails": topology.EmailQueue, "journeys": topology.Journeys, "ses": topology.EmailIdentity,
		"payments": topology.Payments, "erasures": topology.Erasures, "charges": topology.PaymentKey, "archive": topology.Archive}
	started := programs(t)
	for _, row := range topology.Functions {
		for name, resource := range parts {
			has, may := slices.Contains(started[row.Name].parts, name), len(actions(row, resource)) > 0
			if has != may {
				t.Errorf("%s is started with %s.Part: %v, may use %s: %v", row.Name, name, has, resource, may)
			}
		}
		for _, name := range started[row.Name].parts {
			if name == "usertokens" && slices.ContainsFunc(row.Routes, func(r topology.Route) bool { return r.Auth == topology.WriteKey }) {
				continue // the issuer is nothing of AWS, and asks for no right
			}
			if parts[name] == "" {
				t.Errorf("%s is started with %s.Part, which this test does not know", row.Name, name)
			}
		}
	}
}

// actions is what a row may do to a resource.
func actions(row topology.Function, resource string) []string {
	var list []string
	for _, a := range row.Access {
		if a.Resource == resource {
			list = append(list, a.Actions...)
		}
	}
	return list
}

func asks(row topology.Function, auth topology.Auth) bool {
	return slices.ContainsFunc(row.Routes, func(r topology.Route) bool { return r.Auth == auth })
}

// TestRowsArePlausible: one trigger each, on things that exist, with times that fit each other.
func TestRowsArePlausible(t *testing.T) {
	types := catalog.New().Names()
	tables, queues := map[string]topology.Table{}, map[string]topology.Queue{}
	for _, table := range topology.Tables {
		tables[table.Name] = table
	}
	for _, queue := range topology.Queues {
		queues[queue.Name] = queue
	}
	routes := map[string]string{}
	for _, row := range topology.Functions {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`).MatchString(row.Name) || row.Summary == "" {
			t.Errorf("%q is no verb-noun, or says nothing: %q", row.Name, row.Summary)
		}
		triggers := 0
		if len(row.Routes) > 0 {
			triggers++
		}
		for _, route := range row.Routes {
			name := route.Method + " " + route.Path
			if routes[name] != "" {
				t.Errorf("%s leads to %s and to %s", name, routes[name], row.Name)
			}
			routes[name] = row.Name
			if row.TimeoutSeconds > 30 { // API Gateway waits no longer
				t.Errorf("%s takes up to %d s, and API Gateway waits 30", row.Name, row.TimeoutSeconds)
			}
		}
		if s := row.Stream; s != nil {
			triggers++
			if !tables[s.Table].Stream || s.BatchSize < 1 || s.Parallel < 1 || s.Parallel > 10 {
				t.Errorf("%s reads the stream of %s: %+v", row.Name, s.Table, s)
			}
		}
		if q := row.Queue; q != nil {
			triggers++
			if queue := queues[q.Queue]; queue.VisibilitySeconds < 6*row.TimeoutSeconds || queue.MaxReceives < 1 { // what AWS advises
				t.Errorf("%s takes up to %d s, and its queue is %+v", row.Name, row.TimeoutSeconds, queue)
			}
		}
		if b := row.Bus; b != nil {
			triggers++
			for _, name := range b.Types {
				if !slices.Contains(types, name) {
					t.Errorf("%s waits for %s, which nobody declares", row.Name, name)
				}
			}
			if len(b.Types) == 0 {
				t.Errorf("%s waits for nothing", row.Name)
			}
		}
		if row.Schedule != nil {
			triggers++
		}
		if row.Task {
			triggers++
		}
		if triggers != 1 {
			t.Errorf("%s has %d triggers", row.Name, triggers)
		}
		if row.TimeoutSeconds < 1 || row.TimeoutSeconds > 900 || row.MemoryMB < 128 {
			t.Errorf("%s has %d s and %d MB", row.Name, row.TimeoutSeconds, row.MemoryMB)
		}
	}
}

// TestS10_RowsMayDoNoMoreThanTheyNeed: access of a kind goes with the trigger of a kind.
func TestS10_RowsMayDoNoMoreThanTheyNeed(t *testing.T) {
	services := map[string]string{
		topology.Events: "dynamodb:", topology.Views: "dynamodb:", topology.Keys: "dynamodb:", topology.Bus: "events:", topology.EmailQueue: "sqs:",
		topology.Journeys: "states:", topology.MasterKey: "kms:", topology.APIKeySecret: "secretsmanager:",
		topology.Payments: "states:", topology.Erasures: "states:", topology.PaymentKey: "secretsmanager:",
		topology.EmailIdentity: "ses:", topology.Archive: "s3:",
	}
	writes := []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
	may := func(row topology.Function, resource string, some ...string) bool {
		return slices.ContainsFunc(actions(row, resource), func(a string) bool { return slices.Contains(some, a) })
	}
	for _, row := range topology.Functions {
		seen := map[string]bool{}
		for _, a := range row.Access {
			if len(a.Actions) == 0 {
				t.Errorf("%s: an empty access to %s", row.Name, a.Resource)
			}
			for _, action := range a.Actions {
				if granted := fmt.Sprint(a.Resource, action, a.Keys); seen[granted] {
					t.Errorf("%s may %s on %s twice", row.Name, action, a.Resource)
				} else {
					seen[granted] = true
				}
				if len(a.Keys) == 0 && (action == "dynamodb:DeleteItem" && a.Resource == topology.Events || a.Resource == topology.Keys && slices.Contains(writes, action)) {
					t.Errorf("%s may %s on everything in %s", row.Name, action, a.Resource)
				}
			}
			seen[a.Resource] = true
			for _, action := range a.Actions {
				service := services[a.Resource]
				if service == "" || !strings.HasPrefix(action, service) || strings.Contains(action, "*") || action == "dynamodb:Scan" {
					t.Errorf("%s: %s on %s", row.Name, action, a.Resource)
				}
			}
		}
		if asks(row, topology.APIKey) != seen[topology.APIKeySecret] {
			t.Errorf("%s asks for an API key: %v, may read it: %v", row.Name, asks(row, topology.APIKey), seen[topology.APIKeySecret])
		}
		if reads := asks(row, topology.APIKey) && row.Routes[0].Method == "GET"; reads {
			for _, table := range []string{topology.Events, topology.Views, topology.Keys} {
				if may(row, table, writes...) {
					t.Errorf("%s answers a question, and may write to %s", row.Name, table)
				}
			}
		}
		if may(row, topology.Events, "dynamodb:PutItem") && !may(row, topology.Keys, "dynamodb:PutItem") {
			t.Errorf("%s may append events, and cannot make the key that seals them", row.Name)
		}
		makesSecrets := slices.ContainsFunc(row.Access, func(a topology.Access) bool {
			return a.Resource == topology.Keys && slices.Contains(a.Keys, "SECRET#*")
		})
		if makesSecrets != may(row, topology.MasterKey, "kms:Encrypt") {
			t.Errorf("%s may store the system's secrets, or wrap them, and not both", row.Name)
		}
		if may(row, topology.Keys, "dynamodb:DeleteItem", "dynamodb:UpdateItem") {
			t.Errorf("%s may take keys away: destroying one writes over it, so that there is never a new one", row.Name)
		}
		if row.Name != "describe-api" && may(row, topology.Keys, "dynamodb:GetItem") != may(row, topology.MasterKey, "kms:Decrypt") {
			t.Errorf("%s may read keys, or unwrap them, and not both", row.Name)
		}
	}
}

// TestB02_OnlyThePublisherPublishes, from the stream alone, and it can neither write nor read what is personal.
func TestB02_OnlyThePublisherPublishes(t *testing.T) {
	for _, row := range topology.Functions {
		publishes := len(actions(row, topology.Bus)) > 0
		if publishes != (row.Name == "publish-events") {
			t.Errorf("%s publishes: %v", row.Name, publishes)
		}
		if publishes && (row.Stream == nil || row.Stream.Table != topology.Events || len(row.Access) != 1) {
			t.Errorf("%s publishes from %+v, and may %+v", row.Name, row.Stream, row.Access)
		}
	}
}

// TestB22_ProjectionsHaveNoSideEffects: they can write views, and can neither send, call nor append.
func TestB22_ProjectionsHaveNoSideEffects(t *testing.T) {
	n := 0
	for _, row := range topology.Functions {
		if !strings.HasPrefix(row.Name, "project-") {
			continue
		}
		n++
		for _, resource := range []string{topology.Bus, topology.EmailQueue, topology.Journeys, topology.EmailIdentity, topology.Payments, topology.Erasures, topology.PaymentKey, topology.Archive} {
			if len(actions(row, resource)) > 0 {
				t.Errorf("%s may use %s", row.Name, resource)
			}
		}
		if slices.Contains(actions(row, topology.Events), "dynamodb:PutItem") || slices.Contains(actions(row, topology.Keys), "dynamodb:PutItem") {
			t.Errorf("%s may append events or make keys", row.Name)
		}
		if !slices.Contains(actions(row, topology.Views), "dynamodb:PutItem") {
			t.Errorf("%s projects, and cannot write", row.Name)
		}
	}
	if n == 0 {
		t.Error("there are no projections")
	}
}

// TestViewsDoNotReact: what folds events cannot reach the handlers or what sends.
func TestViewsDoNotReact(t *testing.T) {
	for needed, way := range dependencies(t, "defter/pkg/view") {
		for _, forbidden := range []string{"defter/pkg/app", "defter/pkg/cloud", "defter/pkg/template", "service/sesv2", "service/sqs", "service/eventbridge", "service/sfn"} {
			if strings.HasSuffix(needed, forbidden) {
				t.Errorf("%s", way)
			}
		}
	}
}

// TestDecisionsNameWhatIsThere: where the head of an ADR says what its code is, that is so.
func TestDecisionsNameWhatIsThere(t *testing.T) {
	declared := map[string]bool{}
	note := func(f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				declared[n.Name.Name] = true
			case *ast.TypeSpec:
				declared[n.Name.Name] = true
			case *ast.ValueSpec:
				for _, name := range n.Names {
					declared[name.Name] = true
				}
			}
			return true
		})
	}
	for _, p := range ours(t, "") {
		for _, f := range files(t, p) {
			note(f)
		}
	}
	stacks, err := filepath.Glob("infra/*.go") // a module of its own
	if err != nil || len(stacks) == 0 {
		t.Fatalf("%d files of the stacks: %v", len(stacks), err)
	}
	for _, path := range stacks {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		note(f)
	}
	adrs, err := filepath.Glob("docs/adr/*.md")
	if err != nil || len(adrs) < 40 {
		t.Fatalf("%d decisions: %v", len(adrs), err)
	}
	quoted, looked := regexp.MustCompile("`([^`]+)`"), 0
	for _, path := range adrs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "\n## ")
		_, code, _ := strings.Cut(head, "Code: ")
		folder := "" // a file may be named without the one that was named before
		for _, m := range quoted.FindAllStringSubmatch(code, -1) {
			name := m[1]
			looked++
			_, err := os.Stat(name)
			_, beside := os.Stat(filepath.Join(folder, name))
			switch {
			case err == nil && strings.Contains(name, "/"):
				if folder = name; strings.HasSuffix(name, ".go") {
					folder = filepath.Dir(name)
				}
			case err == nil || beside == nil && folder != "":
			case declared[name[strings.LastIndex(name, ".")+1:]]:
			default:
				t.Errorf("%s names %s, which is not there", path, name)
			}
		}
	}
	if looked < 100 {
		t.Errorf("only %d names were looked at", looked)
	}
}
