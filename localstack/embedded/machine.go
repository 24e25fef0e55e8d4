package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"defter/pkg/lambdaio"
	"defter/pkg/saga"
	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-lambda-go/lambda/messages"
)

const (
	machineIdle    = 250 * time.Millisecond
	machineBatch   = 20
	maxTransitions = 1000 // of one execution without a wait
)

// machine runs a state machine from the very definition that is deployed. It understands Task with Retry,
// Choice on a boolean, Wait until a timestamp, and Succeed, and refuses any other definition at the start. Executions
// are rows ordered by when they go on, so waits survive restarts and follow the clock.
type machine struct {
	system     *System
	name       string
	task       string
	definition definition
	handler    lambdaio.Handler
	wake       chan struct{}
}

type definition struct {
	Comment string
	StartAt string
	States  map[string]state
}

type state struct {
	Type           string
	Resource       string
	Next           string
	TimeoutSeconds int
	Retry          []retrier
	Choices        []choice
	Default        string
	TimestampPath  string
}

type retrier struct {
	ErrorEquals     []string
	IntervalSeconds float64
	MaxAttempts     int
	BackoffRate     float64
	MaxDelaySeconds float64
}

type choice struct {
	Variable      string
	BooleanEquals *bool
	Next          string
}

// execution is one run: the state it is to enter next, with its input.
type execution struct {
	Name    string          `json:"name"`
	State   string          `json:"state"`
	Input   json.RawMessage `json:"input"`
	Retries int             `json:"retries,omitempty"`
	Failed  string          `json:"failed,omitempty"`
}

func newMachine(s *System, m topology.Machine) (*machine, error) {
	definition, err := understand(saga.Machine(m.Task), m.Task)
	if err != nil {
		return nil, fmt.Errorf("state machine of %s: %w", m.Name, err)
	}
	return &machine{system: s, name: m.Name, task: m.Task, definition: definition, handler: s.handlers[m.Task], wake: make(chan struct{}, 1)}, nil
}

// executions and names are the partitions of what is under way, and of what was ever started.
func (m *machine) executions() string { return "EXECUTION#" + m.name }
func (m *machine) names() string      { return "EXECUTION-NAME#" + m.name }

// understand reads a definition, or says what of it the embedded run cannot carry out.
func understand(text, task string) (definition, error) {
	var machine definition
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&machine); err != nil {
		return machine, fmt.Errorf("the embedded run does not understand it: %w", err)
	}
	if _, ok := machine.States[machine.StartAt]; !ok {
		return machine, fmt.Errorf("it starts at %q, which is not there", machine.StartAt)
	}
	for name, st := range machine.States {
		leads := []string{st.Next, st.Default}
		for _, c := range st.Choices {
			leads = append(leads, c.Next)
		}
		for _, next := range leads {
			if _, ok := machine.States[next]; next != "" && !ok {
				return machine, fmt.Errorf("state %s leads to %s, which is not there", name, next)
			}
		}
		switch {
		case st.Type == "Task" && st.Resource == task, st.Type == "Choice", st.Type == "Wait", st.Type == "Succeed":
		case st.Type == "Task":
			return machine, fmt.Errorf("state %s calls %s, which the embedded run does not know", name, st.Resource)
		default:
			return machine, fmt.Errorf("the embedded run does not understand state %s of type %s", name, st.Type)
		}
	}
	return machine, nil
}

// Start starts an execution unless one of that name was started before.
func (m *machine) Start(ctx context.Context, name string, input []byte) error {
	created, err := m.system.local.Create(ctx, view.Row{PK: m.names(), SK: name, Data: input})
	if err != nil {
		return err
	}
	if !created { // started before; make sure that it was not interrupted between the two rows
		row, _, err := m.system.local.Get(ctx, m.names(), name)
		if err != nil || row.Version > 0 {
			return err
		}
	}
	if err := m.put(ctx, execution{Name: name, State: m.definition.StartAt, Input: input}, m.system.clock.Now()); err != nil {
		return err
	}
	if err := m.system.local.Put(ctx, view.Row{PK: m.names(), SK: name, Version: 1}); err != nil {
		return err
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

func (m *machine) put(ctx context.Context, e execution, due time.Time) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return m.system.local.Put(ctx, view.Row{PK: m.executions(), SK: dueKey(due, e.Name), Data: data})
}

func (m *machine) run(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := m.work(ctx)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "run state machine", "machine", m.name, "error", err)
		}
		if n > 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-m.system.clock.Moved():
		case <-time.After(machineIdle):
		}
	}
}

// work takes the executions that are due one stretch further, to their next wait or end.
func (m *machine) work(ctx context.Context) (int, error) {
	rows, _, err := m.system.local.List(ctx, m.executions(), "", "", machineBatch, false)
	if err != nil {
		return 0, err
	}
	now := dueKey(m.system.clock.Now(), "~")
	rows = slices.DeleteFunc(rows, func(r view.Row) bool { return r.SK > now })
	for _, row := range rows {
		var e execution
		if err := json.Unmarshal(row.Data, &e); err != nil {
			return 0, fmt.Errorf("execution: %w", err)
		}
		next, due, err := m.advance(ctx, e)
		if err != nil {
			return 0, err
		}
		if next != nil {
			if err := m.put(ctx, *next, due); err != nil {
				return 0, err
			}
		}
		if next == nil || dueKey(due, e.Name) != row.SK {
			if err := m.system.local.Delete(ctx, [2]string{row.PK, row.SK}); err != nil {
				return 0, err
			}
		}
	}
	return len(rows), nil
}

// advance runs states until one waits. It returns where the execution goes on and when, nil at its end.
func (m *machine) advance(ctx context.Context, e execution) (*execution, time.Time, error) {
	now := m.system.clock.Now()
	for range maxTransitions {
		st := m.definition.States[e.State]
		switch st.Type {
		case "Succeed":
			return nil, now, nil
		case "Task":
			output, err := m.handler.Invoke(ctx, e.Input)
			if ctx.Err() != nil {
				return nil, now, ctx.Err()
			}
			if err != nil {
				return m.failed(ctx, e, st, err)
			}
			e = execution{Name: e.Name, State: st.Next, Input: output}
		case "Choice":
			next, err := choose(st, e.Input)
			if err != nil {
				return nil, now, err
			}
			e.State = next
		case "Wait":
			var until time.Time
			if err := field(e.Input, st.TimestampPath, &until); err != nil {
				return nil, now, err
			}
			e.State = st.Next
			return &e, until, nil
		}
	}
	return nil, now, fmt.Errorf("execution %s does not come to a wait", e.Name)
}

// failed retries a task as its definition says, and parks the execution when that is over.
func (m *machine) failed(ctx context.Context, e execution, st state, err error) (*execution, time.Time, error) {
	now := m.system.clock.Now()
	name := "Internal"
	if named, ok := errors.AsType[messages.InvokeResponse_Error](err); ok {
		name = named.Type
	}
	slog.WarnContext(ctx, "step failed", "function", m.task, "execution", e.Name, "error", err)
	for _, r := range st.Retry {
		if slices.Contains(r.ErrorEquals, name) && e.Retries < r.MaxAttempts {
			delay := r.IntervalSeconds * math.Pow(r.BackoffRate, float64(e.Retries))
			if r.MaxDelaySeconds > 0 {
				delay = min(delay, r.MaxDelaySeconds)
			}
			e.Retries++
			return &e, now.Add(time.Duration(delay * float64(time.Second))), nil
		}
	}
	data, marshalErr := json.Marshal(e)
	if marshalErr != nil {
		return nil, now, marshalErr
	}
	return nil, now, m.system.park(ctx, m.name, e.Name, data)
}

func choose(st state, input json.RawMessage) (string, error) {
	for _, c := range st.Choices {
		var value bool
		if err := field(input, c.Variable, &value); err != nil {
			return "", err
		}
		if c.BooleanEquals != nil && value == *c.BooleanEquals {
			return c.Next, nil
		}
	}
	return st.Default, nil
}

// field reads a member of the input by a path of the form $.name.
func field(input json.RawMessage, path string, into any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(input, &members); err != nil {
		return fmt.Errorf("input of a state: %w", err)
	}
	name, ok := strings.CutPrefix(path, "$.")
	if !ok || members[name] == nil {
		return fmt.Errorf("input of a state has no %s", path)
	}
	return json.Unmarshal(members[name], into)
}

// pendingExecutions counts the runs under way, at most a page.
func (m *machine) pendingExecutions(ctx context.Context) (int, error) {
	rows, _, err := m.system.local.List(ctx, m.executions(), "", "", 1000, false)
	return len(rows), err
}
