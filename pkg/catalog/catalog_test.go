package catalog_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"defter/pkg/activity"
	"defter/pkg/catalog"
	"defter/pkg/money"
	"defter/pkg/topology"
)

// TestB83_EveryFieldIsLookedAt: each field of each event type, however deep, has a judgement whether it could hold
// something personal. A field is sealed as a whole or not at all: what lies within one that is not must hold nothing
// personal either, and must be of a known form.
func TestB83_EveryFieldIsLookedAt(t *testing.T) {
	c := catalog.New()
	c.Check()
	for _, name := range c.Names() {
		for _, problem := range unjudged(c.Type(name), name, "") {
			t.Error(problem)
		}
	}
}

// unjudged walks a type. sealed is the judgement of the field it is the type of, "" for an event type itself.
func unjudged(t reflect.Type, path, sealed string) []string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return nil
	case t == reflect.TypeFor[json.RawMessage]() || t.Kind() == reflect.Interface || t.Kind() == reflect.Map:
		return []string{path + " can hold anything, so that it must be sealed"}
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return unjudged(t.Elem(), path, sealed)
	case t.Kind() != reflect.Struct:
		return nil
	}
	var problems []string
	for i := range t.NumField() {
		f := t.Field(i)
		where := path + "." + f.Name
		switch pii := f.Tag.Get("pii"); {
		case pii == "":
			problems = append(problems, where+" has no pii tag")
		case pii == "-":
			problems = append(problems, unjudged(f.Type, where, pii)...)
		case sealed == "-":
			problems = append(problems, fmt.Sprintf("%s holds something personal (%s) within a field that is not sealed", where, pii))
		}
	}
	return problems
}

// TestB83_FindsWhatNobodyLookedAt: the check above fails where it should.
func TestB83_FindsWhatNobodyLookedAt(t *testing.T) {
	type Line struct {
		Product string `pii:"-"`
		Note    string
	}
	type Signed struct {
		By string `pii:"name"`
	}
	for want, data := range map[string]any{
		"E.Note has no pii tag": struct{ Note string }{},
		"E.Lines.Note has no pii tag": struct {
			Lines []Line `pii:"-"`
		}{},
		"E.Line.Note has no pii tag": struct {
			Line *Line `pii:"-"`
		}{},
		"E.Signed.By holds something personal (name) within a field that is not sealed": struct {
			Signed Signed `pii:"-"`
		}{},
		"E.Traits can hold anything, so that it must be sealed": struct {
			Traits map[string]any `pii:"-"`
		}{},
		"E.Raw can hold anything, so that it must be sealed": struct {
			Raw json.RawMessage `pii:"-"`
		}{},
		"E.Any can hold anything, so that it must be sealed": struct {
			Any any `pii:"-"`
		}{},
		"": struct {
			Lines  []Signed       `pii:"name"`
			Traits map[string]any `pii:"traits"`
			At     time.Time      `pii:"-"`
		}{},
	} {
		if got := strings.Join(unjudged(reflect.TypeOf(data), "E", ""), "; "); got != want {
			t.Errorf("%T: %q, want %q", data, got, want)
		}
	}
}

// TestB83_PersonalFieldsLeaveTheRecord: what an event type calls personal is in its sealed part, whole, and not in the
// other, which goes on the bus.
func TestB83_PersonalFieldsLeaveTheRecord(t *testing.T) {
	c := catalog.New()
	for _, name := range c.Names() {
		data := filled(c.Type(name))
		_, _, public, private, err := c.Encode(data.Interface())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var open, sealed map[string]json.RawMessage
		if err := json.Unmarshal(public, &open); err != nil {
			t.Fatal(err)
		}
		if private != nil {
			if err := json.Unmarshal(private, &sealed); err != nil {
				t.Fatal(err)
			}
		}
		for i := range data.NumField() {
			f := data.Type().Field(i)
			field, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			_, isOpen := open[field]
			_, isSealed := sealed[field]
			if personal := f.Tag.Get("pii") != "-"; isOpen == personal || isSealed != personal {
				t.Errorf("%s.%s (%s) is readable: %v, sealed: %v", name, field, f.Tag.Get("pii"), isOpen, isSealed)
			}
		}
	}
}

// filled is a value of a type with every field set.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch {
	case t == reflect.TypeFor[time.Time]():
		return reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	case t == reflect.TypeFor[json.RawMessage]():
		return reflect.ValueOf(json.RawMessage(`{"a":1}`))
	}
	switch t.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(filled(t.Elem()))
	case reflect.Slice:
		v.Set(reflect.Append(v, filled(t.Elem())))
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(reflect.ValueOf("a"), reflect.ValueOf("b"))
	case reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(filled(t.Field(i).Type))
		}
	default:
		panic("no value of type " + t.String())
	}
	return v
}

// TestEveryEventComesBack: what is encoded decodes to the same, with every field set and with none.
func TestEveryEventComesBack(t *testing.T) {
	c := catalog.New()
	for _, name := range c.Names() {
		for _, want := range []reflect.Value{filled(c.Type(name)), reflect.Zero(c.Type(name))} {
			wire, schema, public, private, err := c.Encode(want.Interface())
			if err != nil || wire != name {
				t.Errorf("%s is encoded as %q, %v", name, wire, err)
				continue
			}
			if got, err := c.Decode(name, schema, public, private); err != nil || !reflect.DeepEqual(got, want.Interface()) {
				t.Errorf("%s came back as %+v, %v, want %+v", name, got, err, want)
			}
		}
	}
}

// TestErasedEventsDecode: without what was sealed, an event is still one, of any version.
func TestErasedEventsDecode(t *testing.T) {
	c := catalog.New()
	for _, name := range c.Names() {
		_, schema, public, _, err := c.Encode(filled(c.Type(name)).Interface())
		if err != nil {
			t.Fatal(err)
		}
		for version := 1; version <= schema; version++ {
			if _, err := c.Decode(name, version, public, nil); err != nil {
				t.Errorf("%s version %d: %v", name, version, err)
			}
		}
	}
}

// TestD1_OnlyWhatPeopleDoIsBehaviour: what was agreed, said about oneself, ordered, sent or audited is kept for good.
func TestD1_OnlyWhatPeopleDoIsBehaviour(t *testing.T) {
	c := catalog.New()
	mayBe := []string{"defter/pkg/activity", "defter/pkg/cart"}
	n := 0
	for _, name := range c.Names() {
		if !c.Behaviour(name) {
			continue
		}
		n++
		if from := c.Type(name).PkgPath(); !slices.Contains(mayBe, from) {
			t.Errorf("%s of %s is behaviour, and would be archived", name, from)
		}
		for what, kept := range map[string][]string{"audited": topology.AuditedEvents, "consent": topology.ConsentEvents, "preferences": topology.PreferenceEvents} {
			if slices.Contains(kept, name) {
				t.Errorf("%s is behaviour, and %s", name, what)
			}
		}
	}
	if n == 0 {
		t.Error("nothing is behaviour: the test looks at nothing")
	}
	for _, d := range activity.Events {
		if said := d.Name == "VisitorIdentified"; c.Behaviour(d.Name) == said { // what is said of oneself is kept
			t.Errorf("%s is behaviour: %v", d.Name, said)
		}
	}
}

// TestP8_EveryAmountHasABound: whichever way an amount or a number of pieces comes in, its event's schema says the least and the most it can be.
func TestP8_EveryAmountHasABound(t *testing.T) {
	amounts := 0
	var look func(where string, fields reflect.Type)
	look = func(where string, fields reflect.Type) {
		for fields.Kind() == reflect.Pointer || fields.Kind() == reflect.Slice {
			fields = fields.Elem()
		}
		if fields.Kind() != reflect.Struct || fields == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range fields.NumField() {
			field := fields.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			look(where+"."+name, field.Type)
			kind := field.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			isAmount, isQuantity := strings.HasSuffix(name, "Minor"), strings.HasSuffix(strings.ToLower(name), "quantity")
			if kind.Kind() != reflect.Int64 || !isAmount && !isQuantity {
				continue
			}
			amounts++
			bounds := map[string]int64{}
			for rule := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
				if key, value, ok := strings.Cut(rule, "="); ok {
					bounds[key], _ = strconv.ParseInt(value, 10, 64)
				}
			}
			least, bounded := bounds["minimum"]
			if most := bounds["maximum"]; !bounded || most == 0 || isAmount && most != money.Max || isAmount && least != 0 && least != -money.Max {
				t.Errorf("%s.%s is from %d to %d, bounded %v", where, name, least, most, bounded)
			}
		}
	}
	c := catalog.New()
	for _, name := range c.Names() {
		look(name, c.Type(name))
	}
	if amounts < 25 {
		t.Errorf("%d amounts", amounts)
	}
}
