// Command audit says what this project is made of: the licence of every dependency, checked against those that are allowed, and what
// the vulnerability databases of Go and npm know of them, where they can be reached. Run it from the project's root: `make audit`.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/licensecheck"
)

const (
	govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.6.0"
	askAtMost   = 3 * time.Minute
	maxLicence  = 256 << 10 // bytes of a licence's text
	mostly      = 75        // percent of a text that must be a known licence's
)

// allowed are the licences that nothing but a notice is owed for.
var allowed = []string{
	"MIT", "MIT-0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "BlueOak-1.0.0", "Unlicense", "CC0-1.0", "Python-2.0", "Zlib",
}

// reasons are dependencies whose licence is not told, or not in the list, with why they may be used.
var reasons = map[string]string{
	"go pgregory.net/rapid":         "MPL-2.0, unchanged, and in tests alone",
	"npm @segment/facade":           "MIT, in its repository; a test's client, which nothing of Defter holds",
	"npm @segment/isodate":          "MIT, in its repository; likewise",
	"npm @segment/isodate-traverse": "MIT, in its repository; likewise",
	"npm new-date":                  "MIT, in its repository; likewise",
}

// locks are the lock files of npm.
var locks = []string{"demo", "infra/cli", "localstack/engine", "localstack/sdks"}

// dependency is one, as it is pinned.
type dependency struct{ system, name, version, licence string }

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	all, err := modules(ctx, ".", "infra")
	if err != nil {
		return err
	}
	for _, folder := range locks {
		found, err := packages(filepath.Join(folder, "package-lock.json"))
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	if err := licences(out, all); err != nil {
		return err
	}
	return errors.Join(vulnerable(ctx, out, "Go", "go", "run", govulncheck, "./..."), npm(ctx, out))
}

// licences lists them and refuses those that are not allowed.
func licences(out io.Writer, all []dependency) error {
	count := map[string]int{}
	var wrong []string
	for _, d := range all {
		count[d.licence]++
		if !permitted(d.licence) && reasons[d.system+" "+d.name] == "" {
			wrong = append(wrong, fmt.Sprintf("%s %s %s: %q", d.system, d.name, d.version, d.licence))
		}
	}
	fmt.Fprintf(out, "%d dependencies, by licence:\n", len(all))
	for _, licence := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(out, "  %5d  %s\n", count[licence], licence)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("licences that are not allowed:\n  %s", strings.Join(wrong, "\n  "))
	}
	fmt.Fprintln(out, "All of them are allowed.")
	return nil
}

// permitted says whether a licence expression leaves a choice that is allowed: one of the alternatives, and of those that apply
// together all.
func permitted(expression string) bool {
	if strings.HasPrefix(expression, "(") && strings.HasSuffix(expression, ")") {
		expression = expression[1 : len(expression)-1]
	}
	if strings.ContainsAny(expression, "()") { // one within another is for somebody to read
		return false
	}
	return slices.ContainsFunc(strings.Split(expression, " OR "), func(choice string) bool {
		return !slices.ContainsFunc(strings.Split(choice, " AND "), func(l string) bool { return !slices.Contains(allowed, strings.TrimSpace(l)) })
	})
}

// modules are the Go modules that programs and tests of some folders are built of.
func modules(ctx context.Context, folders ...string) ([]dependency, error) {
	seen := map[string]bool{}
	var all []dependency
	for _, folder := range folders {
		command := exec.CommandContext(ctx, "go", "list", "-deps", "-test", "-f", "{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}", "./...")
		command.Dir = folder
		var said bytes.Buffer
		command.Stderr = &said
		text, err := command.Output()
		if err != nil {
			return nil, fmt.Errorf("list the modules of %s: %w: %s", folder, err, &said)
		}
		for _, line := range strings.Split(string(text), "\n") {
			parts := strings.Split(line, "\t")
			if len(parts) != 3 || parts[1] == "" || seen[parts[0]] {
				continue
			}
			seen[parts[0]] = true
			licence, err := licenceOf(parts[2])
			if err != nil {
				return nil, err
			}
			all = append(all, dependency{"go", parts[0], parts[1], licence})
		}
	}
	return all, nil
}

// licenceOf recognises the text in a module's folder; "" for none.
func licenceOf(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", fmt.Errorf("look for a licence: %w", err)
	}
	found := map[string]bool{}
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if entry.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "UNLICENSE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return "", fmt.Errorf("read a licence: %w", err)
		}
		cover := licensecheck.Scan(text[:min(len(text), maxLicence)])
		if cover.Percent < mostly {
			continue
		}
		for _, match := range cover.Match {
			found[match.ID] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), " AND "), nil
}

// packages are those of an npm lock file, of every platform; each must have the hash of its content.
func packages(path string) ([]dependency, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct{ Version, License, Integrity string } `json:"packages"`
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var all []dependency
	for _, place := range slices.Sorted(maps.Keys(lock.Packages)) {
		if place == "" {
			continue
		}
		p := lock.Packages[place]
		name := place[strings.LastIndex(place, "node_modules/")+len("node_modules/"):]
		if p.Integrity == "" && !unhashed[name] {
			return nil, fmt.Errorf("%s: %s has no integrity", path, name)
		}
		all = append(all, dependency{"npm", name, p.Version, p.License})
	}
	return all, nil
}

// unhashed are packages of platforms that Defter was not tried on, whose registry did not give them when they were pinned: whoever
// installs there pins their content first.
var unhashed = map[string]bool{"@dynoxide/darwin-arm64": true, "@dynoxide/darwin-x64": true, "@dynoxide/linux-arm64": true}

func npm(ctx context.Context, out io.Writer) error {
	var errs []error
	for _, folder := range locks {
		errs = append(errs, vulnerable(ctx, out, "npm, "+folder, "npm", "audit", "--prefix", folder, "--audit-level=high", "--omit=dev"))
	}
	return errors.Join(errs...)
}

// vulnerable asks a database what it knows of the dependencies. Where it cannot be reached, that is said, and is no error.
func vulnerable(ctx context.Context, out io.Writer, of, name string, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, askAtMost)
	defer cancel()
	text, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
	if err == nil {
		fmt.Fprintf(out, "Vulnerabilities (%s): none known.\n", of)
		return nil
	}
	found, ok := errors.AsType[*exec.ExitError](err)
	if ok && found.ExitCode() == 3 || strings.Contains(string(text), "npm audit report") { // what govulncheck and npm say of a finding, whatever its text
		return fmt.Errorf("vulnerabilities (%s):\n%s", of, text)
	}
	for _, sign := range []string{"audit endpoint returned an error", "vuln.go.dev", "no such host", "connection refused", "i/o timeout", "ENOTFOUND", "ECONNREFUSED", "403 Forbidden", "404 Not Found", "410 Gone"} {
		if strings.Contains(string(text), sign) || ctx.Err() != nil {
			fmt.Fprintf(out, "Vulnerabilities (%s): NOT CHECKED, the database cannot be reached from here.\n", of)
			return nil
		}
	}
	return fmt.Errorf("vulnerabilities (%s):\n%s", of, text)
}
