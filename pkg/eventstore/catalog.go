package eventstore

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"defter/pkg/fault"
)

// Upcaster turns the data of schema version n into that of n+1. It may change the map it is given. Numbers are
// json.Number, since a float64 would not bring every int64 through; personal fields of an erased customer are absent.
type Upcaster func(map[string]any) map[string]any

// Declaration declares an event type once: its name on the wire, the Go type of its data, and how older versions become
// today's. Its schema version is the number of upcasters + 1.
type Declaration struct {
	Name      string
	Upcasters []Upcaster
	data      reflect.Type
	behaviour bool
	ends      bool
}

// Declare declares the event type name with data of type T, a struct whose every field has a json name and a pii tag:
// pii:"-" for a field that was looked at and holds nothing personal, UnlessOpaque for one that holds what a client chose, else the kind of
// personal data it holds.
func Declare[T any](name string, upcasters ...Upcaster) Declaration {
	return Declaration{Name: name, Upcasters: upcasters, data: reflect.TypeFor[T]()}
}

// Ends marks the event type after which nothing that came before in its stream counts, and nothing follows. Every fold that is asked for
// afterwards must forget all it knew by it.
func Ends(d Declaration) Declaration {
	d.ends = true
	return d
}

// Behaviour marks event types as behaviour: what people did, many times over, and nothing that is owed to anybody. Once
// it is old it is archived, and a summary takes its place. A fold over behaviour must fold the summary to the same.
func Behaviour(declarations ...Declaration) []Declaration {
	for i := range declarations {
		declarations[i].behaviour = true
	}
	return declarations
}

// UnlessOpaque is the pii tag of a field that holds an id or a text that a client chose: it is personal unless all of it is opaque.
const UnlessOpaque = "unless-opaque"

// Catalog knows every declared event type and takes its personal fields apart from the others.
type Catalog struct {
	// Opaque says whether a text that a client chose tells nothing about a person; nil: none does.
	Opaque func(text string) bool

	byName map[string]*entry
	byType map[reflect.Type]*entry
}

type entry struct {
	Declaration
	schema int
	shape  func() shape // reflection takes long: a function starts without it, and needs few types
}

// shape tells how an event's data is taken apart.
type shape struct {
	public, private reflect.Type // shadow structs with the fields of one kind each
	publicFields    []int
	privateFields   []int
	either          map[int]bool // fields of both, of which each value goes into one
}

// NewCatalog makes a catalog. It panics on a type declared twice; the first use of a type, and Check, on a field without
// json name or pii tag. Both are defects that the first test finds.
func NewCatalog(declarations ...[]Declaration) *Catalog {
	c := &Catalog{byName: map[string]*entry{}, byType: map[reflect.Type]*entry{}}
	for _, d := range slices.Concat(declarations...) {
		if c.byName[d.Name] != nil || c.byType[d.data] != nil {
			panic("event type declared twice: " + d.Name)
		}
		e := &entry{Declaration: d, schema: len(d.Upcasters) + 1, shape: sync.OnceValue(func() shape { return shapeOf(d) })}
		c.byName[d.Name], c.byType[d.data] = e, e
	}
	return c
}

// Check panics if a type's declaration is wrong.
func (c *Catalog) Check() {
	for _, e := range c.byName {
		e.shape()
	}
}

func shapeOf(d Declaration) shape {
	s := shape{either: map[int]bool{}}
	var public, private []reflect.StructField
	for i := range d.data.NumField() {
		f := d.data.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		pii, looked := f.Tag.Lookup("pii")
		switch {
		case name == "" || name == "-" || !looked || pii == "":
			panic(fmt.Sprintf("%s.%s: every field of an event has a json name and a pii tag", d.Name, f.Name))
		case pii == UnlessOpaque:
			f.Type, f.Tag = reflect.PointerTo(f.Type), reflect.StructTag(`json:"`+name+`,omitempty"`)
			public, s.publicFields = append(public, f), append(s.publicFields, i)
			private, s.privateFields = append(private, f), append(s.privateFields, i)
			s.either[i] = true
		case pii == "-":
			public, s.publicFields = append(public, f), append(s.publicFields, i)
		default:
			private, s.privateFields = append(private, f), append(s.privateFields, i)
		}
	}
	s.public, s.private = reflect.StructOf(public), reflect.StructOf(private)
	return s
}

// Names returns the declared event types, sorted.
func (c *Catalog) Names() []string { return slices.Sorted(maps.Keys(c.byName)) }

// Schema returns the current schema version of an event type, 0 for one that is not declared.
func (c *Catalog) Schema(name string) int {
	if e := c.byName[name]; e != nil {
		return e.schema
	}
	return 0
}

// Type returns the Go type of an event type's data, nil for one that is not declared.
func (c *Catalog) Type(name string) reflect.Type {
	if e := c.byName[name]; e != nil {
		return e.data
	}
	return nil
}

// Behaviour says whether an event type is declared as behaviour.
func (c *Catalog) Behaviour(name string) bool {
	e := c.byName[name]
	return e != nil && e.behaviour
}

// Ends says whether an event type is declared as the end of its stream.
func (c *Catalog) Ends(name string) bool {
	e := c.byName[name]
	return e != nil && e.ends
}

// NameOf returns the name of the event type that data is of, "" for none.
func (c *Catalog) NameOf(data any) string {
	if e := c.byType[reflect.TypeOf(data)]; e != nil {
		return e.Name
	}
	return ""
}

// Encode takes an event's data apart. private is nil if no personal field is set.
func (c *Catalog) Encode(data any) (name string, schema int, public, private json.RawMessage, err error) {
	e := c.byType[reflect.TypeOf(data)]
	if e == nil {
		return "", 0, nil, nil, fmt.Errorf("event data of type %T is not declared", data)
	}
	shape := e.shape()
	telling := c.telling(data, shape)
	if public, err = part(data, shape.public, shape.publicFields, telling, true); err != nil {
		return "", 0, nil, nil, fmt.Errorf("encode %s: %w", e.Name, err)
	}
	if len(shape.privateFields) > 0 {
		if private, err = part(data, shape.private, shape.privateFields, telling, false); err != nil {
			return "", 0, nil, nil, fmt.Errorf("encode %s: %w", e.Name, err)
		}
		if string(private) == "{}" {
			private = nil
		}
	}
	return e.Name, e.schema, public, private, nil
}

// telling says of each field that is in either part whether it tells something.
func (c *Catalog) telling(data any, s shape) map[int]bool {
	if len(s.either) == 0 {
		return nil
	}
	telling := make(map[int]bool, len(s.either))
	for i := range s.either {
		telling[i] = c.tells(reflect.ValueOf(data).Field(i))
	}
	return telling
}

// tells says whether a value holds a text that is not opaque.
func (c *Catalog) tells(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() > 0 && (c.Opaque == nil || !c.Opaque(v.String()))
	case reflect.Pointer:
		return !v.IsNil() && c.tells(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if c.tells(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if c.tells(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

// part is the fields of an event's public or private part. Of those that may be in either, it leaves out what is in the other.
func part(data any, shadow reflect.Type, fields []int, telling map[int]bool, public bool) (json.RawMessage, error) {
	from, to := reflect.ValueOf(data), reflect.New(shadow)
	for i, field := range fields {
		value := from.Field(field)
		tells, either := telling[field]
		switch {
		case !either:
			to.Elem().Field(i).Set(value)
		case tells != public && !left(from.Type().Field(field), value):
			to.Elem().Field(i).Set(reflect.New(value.Type()))
			to.Elem().Field(i).Elem().Set(value)
		}
	}
	return json.Marshal(to.Interface())
}

// left says whether a field's value is left out of an event's JSON.
func left(f reflect.StructField, value reflect.Value) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return strings.Contains(options, "omitempty") && (value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0)
}

// Unknown is the data of an event whose type this program does not know: a newer one wrote it. It is carried along, and changes
// nothing here.
type Unknown struct {
	Type string
	Data json.RawMessage // what is public of it
}

// MarshalJSON shows what is known.
func (u Unknown) MarshalJSON() ([]byte, error) {
	if len(u.Data) == 0 {
		return []byte("{}"), nil
	}
	return u.Data, nil
}

// Decode puts an event's data together again, upcast to the current schema. private may be nil. An event of a type that is not
// declared is Unknown; one of a later schema of a declared type is Busy, since a newer program will read it.
func (c *Catalog) Decode(name string, schema int, public, private json.RawMessage) (any, error) {
	e := c.byName[name]
	if e == nil {
		return Unknown{name, public}, nil
	}
	if schema > e.schema {
		return nil, fault.New(fault.Busy, "newer-event", "%s has schema version %d, this program knows up to %d", name, schema, e.schema)
	}
	if schema < 1 {
		return nil, fmt.Errorf("%s has schema version %d", name, schema)
	}
	if schema < e.schema {
		whole := map[string]any{}
		for _, part := range []json.RawMessage{public, private} {
			if part == nil {
				continue
			}
			if err := Exact(part, &whole); err != nil {
				return nil, fmt.Errorf("decode %s: %w", name, err)
			}
		}
		for _, up := range e.Upcasters[schema-1:] {
			whole = up(whole)
		}
		var err error
		if public, err = json.Marshal(whole); err != nil {
			return nil, fmt.Errorf("decode %s: %w", name, err)
		}
		private = nil
	}
	data := reflect.New(e.data)
	for _, part := range []json.RawMessage{public, private} {
		if part == nil {
			continue
		}
		if err := Exact(part, data.Interface()); err != nil {
			return nil, fmt.Errorf("decode %s: %w", name, err)
		}
	}
	return data.Elem().Interface(), nil
}
