package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// row is one measured figure. Budget and OK are null where nothing was promised.
type row struct {
	Name   string   `json:"name"`
	Value  float64  `json:"value"`
	Unit   string   `json:"unit"`
	Budget *float64 `json:"budget"`
	OK     *bool    `json:"ok"`

	sign string // how the value must stand to the budget
}

// report collects rows and shows them as they come.
type report struct {
	out  io.Writer
	rows []row
}

// info adds a figure without a budget.
func (r *report) info(name string, value float64, unit string) {
	r.add(row{Name: name, Value: value, Unit: unit})
}

// atMost adds a figure that must not exceed its budget, and atLeast one that must reach it.
func (r *report) atMost(name string, value float64, unit string, budget float64) {
	ok := value <= budget
	r.add(row{Name: name, Value: value, Unit: unit, Budget: &budget, OK: &ok, sign: "≤"})
}

func (r *report) atLeast(name string, value float64, unit string, budget float64) {
	ok := value >= budget
	r.add(row{Name: name, Value: value, Unit: unit, Budget: &budget, OK: &ok, sign: "≥"})
}

func (r *report) add(row row) {
	r.rows = append(r.rows, row)
	budget, verdict := "", ""
	if row.Budget != nil {
		budget, verdict = row.sign+" "+number(*row.Budget), "ok"
		if !*row.OK {
			verdict = "MISSED"
		}
	}
	fmt.Fprintf(r.out, "  %-52s %11s %-28s %10s  %s\n", row.Name, number(row.Value), row.Unit, budget, verdict)
}

func (r *report) section(title string) { fmt.Fprintf(r.out, "\n%s\n", title) }

// note explains the rows above it.
func (r *report) note(format string, args ...any) {
	fmt.Fprintf(r.out, "    "+format+"\n", args...)
}

// verdict says loudly which budgets were missed.
func (r *report) verdict() {
	var missed []string
	budgets := 0
	for _, row := range r.rows {
		if row.OK == nil {
			continue
		}
		if budgets++; !*row.OK {
			missed = append(missed, fmt.Sprintf("  %s: %s %s, budget %s %s", row.Name, number(row.Value), row.Unit, row.sign, number(*row.Budget)))
		}
	}
	if len(missed) == 0 {
		fmt.Fprintf(r.out, "\nAll %d budgets are met.\n", budgets)
		return
	}
	fmt.Fprintf(r.out, "\n!!! %d of %d BUDGETS MISSED\n%s\n", len(missed), budgets, strings.Join(missed, "\n"))
}

// save writes the rows as JSON.
func (r *report) save(path string, quick bool, took time.Duration) error {
	mode := "full"
	if quick {
		mode = "quick"
	}
	data, err := json.MarshalIndent(map[string]any{
		"at": time.Now().UTC().Format(time.RFC3339), "mode": mode, "seconds": int(took.Seconds()), "go": runtime.Version(),
		"machine": fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), "rows": r.rows,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// number shows four significant digits, and whole numbers whole.
func number(v float64) string {
	if v == float64(int64(v)) || v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	s := strconv.FormatFloat(v, 'g', 4, 64)
	if strings.Contains(s, "e") {
		return strconv.FormatFloat(v, 'f', 6, 64)
	}
	return s
}
