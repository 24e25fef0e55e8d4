package preference

import (
	"reflect"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // which time zones there are must not depend on the machine's files

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

const (
	maxCategories = 100
	maxCategory   = 64 // bytes
)

// Stamp is when a field was last written, and by which event: the tie-break.
type Stamp struct {
	At      time.Time `json:"at"`
	EventID string    `json:"eventId"`
}

func (s Stamp) before(other Stamp) bool {
	if s.At.Equal(other.At) {
		return s.EventID < other.EventID
	}
	return s.At.Before(other.At)
}

// State is every preference with its stamp, by the field's JSON name.
type State struct {
	Values Values           `json:"values"`
	Stamps map[string]Stamp `json:"stamps,omitempty"`
}

// Decider holds the rules. Its Evolve stamps nothing; stores use Evolve with the event's stamp.
var Decider = eventstore.Decider[State, Set, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, Stamp{}) },
	Decide: Decide,
}

// Evolve folds one event with its stamp. A field that a later event wrote stays as it is, and so does an absent one.
func Evolve(s State, event any, stamp Stamp) State {
	e, ok := event.(Updated)
	if !ok {
		return s
	}
	next := State{Values: s.Values, Stamps: make(map[string]Stamp, len(s.Stamps)+1)}
	for name, old := range s.Stamps {
		next.Stamps[name] = old
	}
	from, to := reflect.ValueOf(e.Preferences), reflect.ValueOf(&next.Values).Elem()
	for i := range from.NumField() {
		name := fieldName(i)
		if from.Field(i).IsNil() {
			continue
		}
		if old, written := s.Stamps[name]; written && stamp.before(old) {
			continue
		}
		to.Field(i).Set(from.Field(i))
		next.Stamps[name] = stamp
	}
	return next
}

// Decide keeps of a command what changes something.
func Decide(s State, c Set) ([]any, error) {
	if err := check(c.Values); err != nil {
		return nil, err
	}
	var changed Values
	from, old, to := reflect.ValueOf(c.Values), reflect.ValueOf(s.Values), reflect.ValueOf(&changed).Elem()
	some := false
	for i := range from.NumField() {
		if from.Field(i).IsNil() {
			continue
		}
		stamp, written := s.Stamps[fieldName(i)]
		same := written && reflect.DeepEqual(from.Field(i).Interface(), old.Field(i).Interface())
		if written && c.At.Before(stamp.At) || same && !(c.Dated && c.At.After(stamp.At)) {
			continue
		}
		to.Field(i).Set(from.Field(i))
		some = true
	}
	if !some {
		return nil, nil
	}
	return []any{Updated{changed}}, nil
}

func check(v Values) error {
	if f := v.EmailFrequency; f != nil && !slices.Contains([]string{"daily", "weekly", "never"}, *f) {
		return fault.New(fault.Invalid, "invalid-frequency", "emailFrequency must be daily, weekly or never")
	}
	if tz := v.Timezone; tz != nil {
		if _, err := time.LoadLocation(*tz); err != nil || *tz == "" || *tz == "Local" {
			return fault.New(fault.Invalid, "invalid-timezone", "timezone must be an IANA time zone such as Europe/Istanbul")
		}
	}
	for _, list := range []*[]string{v.Categories, v.PushCategories} {
		if list == nil {
			continue
		}
		if len(*list) > maxCategories {
			return fault.New(fault.Invalid, "too-many-categories", "at most %d categories", maxCategories)
		}
		for _, category := range *list {
			if category == "" || len(category) > maxCategory {
				return fault.New(fault.Invalid, "invalid-category", "a category has 1 to %d bytes", maxCategory)
			}
		}
	}
	return nil
}

func fieldName(i int) string {
	name, _, _ := strings.Cut(reflect.TypeFor[Values]().Field(i).Tag.Get("json"), ",")
	return name
}
