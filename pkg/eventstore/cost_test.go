package eventstore_test

import (
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/meter"
)

// metered is a world whose every request is counted.
func metered(t *testing.T) world {
	client := dynamotest.Client(t)
	clock := newClock()
	return newWorld(clock, dynamo.New(meter.Client{API: client}, dynamotest.Table(t, client), clock.now))
}

func (w world) costOf(t *testing.T, c eventstore.Command) meter.Cost {
	t.Helper()
	var m meter.Meter
	if _, _, err := w.Handle(meter.With(t.Context(), &m), c); err != nil {
		t.Fatal(err)
	}
	return m.Cost()
}

func deposit(stream string, events int, memo string, folds ...eventstore.AnyFold) eventstore.Command {
	return eventstore.Command{
		Stream: stream, Folds: folds, Meta: eventstore.Meta{CausationID: newID(), Actor: "source:ios-app", Source: "browser"},
		Decide: func(*eventstore.Head) (eventstore.Decision, error) {
			d := eventstore.Decision{}
			for i := range events {
				d.Events = append(d.Events, eventstore.New{Data: Deposited{Amount: 1, Memo: long(len(memo), i)}, Message: long(22, i)})
			}
			return d, nil
		},
	}
}

// TestCostOfACommand: an event of about 550 bytes costs one write unit, three in one command two, and a claim with them
// makes it a transaction.
func TestCostOfACommand(t *testing.T) {
	w := metered(t).cached(10)
	memo := long(550 - len(`{"t":"MoneyDeposited","v":3,"m":"","d":{"amount":1}}`) - 22 - len(`{"memo":""},`))
	for _, c := range []struct {
		stream     string
		events     int
		writeUnits float64
		claims     int
	}{
		{"CUSTOMER#0195f4d1-0000-7000-8000-000000000001", 1, 1, 0},
		{"CUSTOMER#0195f4d1-0000-7000-8000-000000000002", 3, 2, 0},
		{"CUSTOMER#0195f4d1-0000-7000-8000-000000000003", 1, 2 * (1 + 1), 1},
		{"CUSTOMER#0195f4d1-0000-7000-8000-000000000004", 3, 2 * (2 + 1), 1},
		{"CUSTOMER#0195f4d1-0000-7000-8000-000000000005", 1, 2 * (1 + 1 + 1), 2},
	} {
		command := deposit(c.stream, c.events, memo, account)
		decide := command.Decide
		command.Decide = func(h *eventstore.Head) (eventstore.Decision, error) {
			d, err := decide(h)
			for range c.claims {
				d.Claims = append(d.Claims, eventstore.Claim{Key: "UNIQUE#email#" + newID(), Owner: c.stream})
			}
			return d, err
		}
		first := w.costOf(t, command)
		if want := (meter.Cost{Requests: 3, ReadUnits: 2, WriteUnits: c.writeUnits}); first != want {
			t.Errorf("the first command of %d events and %d claims: %+v, want %+v", c.events, c.claims, first, want)
		}
		next := w.costOf(t, command)
		if want := (meter.Cost{Requests: 1, WriteUnits: c.writeUnits}); next != want {
			t.Errorf("with a cached head, %d events and %d claims: %+v, want %+v", c.events, c.claims, next, want)
		}
	}
}

// TestCostDoesNotGrowWithTheStream compares the commands on a customer with 10 events and with 5,000, over several rounds
// of snapshots.
func TestCostDoesNotGrowWithTheStream(t *testing.T) {
	for name, folds := range map[string][]eventstore.AnyFold{"one fold": {account}, "two folds": {account, trail}, "no fold": nil} {
		t.Run(name, func(t *testing.T) {
			const commands = 60
			w := metered(t)
			measure := func(stream string) (sum, most meter.Cost) {
				for range commands {
					c := w.costOf(t, deposit(stream, 1, long(300), folds...))
					sum.Requests, sum.ReadUnits, sum.WriteUnits = sum.Requests+c.Requests, sum.ReadUnits+c.ReadUnits, sum.WriteUnits+c.WriteUnits
					most.Requests, most.ReadUnits, most.WriteUnits = max(most.Requests, c.Requests), max(most.ReadUnits, c.ReadUnits), max(most.WriteUnits, c.WriteUnits)
				}
				return sum, most
			}
			grow := func(stream string, commands, events int) {
				cached := w.cached(1)
				for range commands {
					cached.costOf(t, deposit(stream, events, long(300), folds...))
				}
			}
			grow("ACCOUNT#young", 10, 1)
			grow("ACCOUNT#old", 250, 20)
			youngSum, youngMost := measure("ACCOUNT#young")
			oldSum, oldMost := measure("ACCOUNT#old")
			if head := w.load(t, "ACCOUNT#old"); head.Version != 5000+commands {
				t.Fatalf("the old stream has %d events", head.Version)
			}
			t.Logf("%d commands: young %+v, at most %+v; old %+v, at most %+v", commands, youngSum, youngMost, oldSum, oldMost)
			if oldSum.Requests > youngSum.Requests+1 || oldSum.ReadUnits > 1.2*youngSum.ReadUnits || oldSum.WriteUnits > 1.2*youngSum.WriteUnits {
				t.Errorf("%d commands cost %+v with 10 events, %+v with 5,000", commands, youngSum, oldSum)
			}
			if oldMost.Requests > youngMost.Requests || oldMost.ReadUnits > youngMost.ReadUnits+1 || oldMost.WriteUnits > youngMost.WriteUnits {
				t.Errorf("a command costs at most %+v with 10 events, %+v with 5,000", youngMost, oldMost)
			}
			if oldMost.Requests > 3+len(folds) || oldMost.ReadUnits > 8 {
				t.Errorf("a command costs %+v", oldMost)
			}
		})
	}
}
