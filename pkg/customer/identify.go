package customer

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"defter/pkg/foreign"
	"defter/pkg/mailbox"
)

// identify decides on an Identify. beyond says that attributes were left out for which there is no room.
func identify(s State, c Identify) (events []any, beyond bool, err error) {
	if s.Status == StatusErased || s.Status == StatusErasing {
		return nil, false, nil // suppressed: accepted and not stored
	}
	p := c.Profile
	p.FirstName, p.LastName, p.Phone = clipped(p.FirstName, 100), clipped(p.LastName, 100), clipped(p.Phone, 32)
	if born := value(p.DateOfBirth); born != "" {
		if _, err := time.Parse(time.DateOnly, born); err != nil || born < FirstBirth || born > p.Today {
			p.DateOfBirth = nil
		}
	}
	address, err := mailbox.Parse(c.Email)
	if err != nil || c.EmailTaken {
		if c.Email != "" { // keep it as the client's word, not as an address to write to
			p.Attributes = Merged(p.Attributes, map[string]any{"email": foreign.Clip(c.Email, 254)})
		}
		address = mailbox.Address{}
	}
	said, confirmed := overdue(s, c, address.Shown, p)
	p = said.profile
	if s.Status == StatusNone {
		created := Created{
			Email: said.email, FirstName: value(p.FirstName), LastName: value(p.LastName), Phone: value(p.Phone),
			ExternalID: c.ExternalID, Source: c.Source, IPAddress: c.IPAddress, UserAgent: c.UserAgent,
		}
		events, s = append(events, created), Evolve(s, created, c.At)
	} else if said.email != "" && !mailbox.Same(said.email, s.Email) || said.noEmail && s.Email != "" {
		changed := EmailUpdated{OldEmail: s.Email, NewEmail: said.email, IPAddress: c.IPAddress, UserAgent: c.UserAgent}
		events, s = append(events, changed), Evolve(s, changed, c.At)
	}
	p.Attributes, beyond = fitting(s.Attributes, p.Attributes)
	more, err := updateProfile(s, p)
	if err != nil {
		return nil, false, err
	}
	events = append(events, more...)
	if len(confirmed) > 0 {
		events = append(events, TraitsConfirmed{confirmed})
	}
	return append(events, linkVisitor(s, LinkVisitor{VisitorID: c.VisitorID, At: c.At, Public: c.Public})...), beyond, nil
}

// fitting is what of a patch leaves the attributes within their limits: what it removes, and then by name what fits. beyond says that not
// all of it does.
func fitting(old, patch map[string]any) (kept map[string]any, beyond bool) {
	kept = map[string]any{}
	for name, v := range patch {
		if v == nil {
			kept[name] = nil
		}
	}
	merged := Merged(old, kept)
	size := sizeOf(merged)
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		v, before := patch[name], 0
		if v == nil {
			continue
		}
		old, had := merged[name]
		if had {
			before = sizeOf(map[string]any{name: old})
		}
		next := size - before + sizeOf(map[string]any{name: v})
		if next > MaxAttributeBytes || !had && len(merged) == MaxAttributes {
			beyond = true
			continue
		}
		kept[name], merged[name], size = v, v, next
	}
	return kept, beyond
}

// said is what counts of what a client said.
type said struct {
	email   string
	noEmail bool // that there is none
	profile UpdateProfile
}

// overdue leaves of what a client said what somebody else has not said since, and returns the traits that it only
// confirms. Of two who said something at the same time, the greater value counts, so that it does not matter which of them
// arrives first. What was said nobody knows when counts where nothing is known.
func overdue(s State, c Identify, email string, p UpdateProfile) (left said, confirmed []string) {
	left = said{email, c.ClearEmail && email == "", p}
	ms := c.At.UnixMilli()
	counts := func(name string, given, known any) bool {
		stamp, stamped := s.Stamps[name]
		same := reflect.DeepEqual(given, known)
		switch {
		case c.At.IsZero():
		case c.Undated:
			return same || isZero(known)
		case stamped && stamp > ms, c.Timed && stamped && stamp == ms && !same && fmt.Sprint(given) < fmt.Sprint(known):
			return false
		case c.Timed && same && (!stamped || stamp < ms) && len(confirmed) < MaxAttributes:
			confirmed = append(confirmed, name)
		}
		return true
	}
	field := func(name string, given *string, known string) *string {
		if given != nil && !counts(name, *given, known) {
			return nil
		}
		return given
	}
	if (email != "" || left.noEmail) && !counts(emailTrait, normal(email), normal(s.Email)) {
		left.email, left.noEmail = "", false
	}
	p.FirstName, p.LastName = field(firstNameTrait, p.FirstName, s.FirstName), field(lastNameTrait, p.LastName, s.LastName)
	p.Phone, p.DateOfBirth = field(phoneTrait, p.Phone, s.Phone), field(bornTrait, p.DateOfBirth, s.DateOfBirth)
	p.Address, p.ClearAddress = nil, false
	known := s.Address.known()
	address := known
	for i, given := range c.Address.parts() {
		if given := clipped(given, addressLimits[i]); given != nil && counts(addressTraits[i], *given, *known.parts()[i]) {
			*address.parts()[i] = *given
		}
	}
	switch {
	case address == known:
	case address == Address{}:
		p.ClearAddress = true
	default:
		p.Address = &address
	}
	kept := map[string]any{}
	for name, value := range p.Attributes {
		if counts(attributeTrait+name, value, s.Attributes[name]) {
			kept[name] = value
		}
	}
	p.Attributes = kept
	left.profile = p
	slices.Sort(confirmed)
	return left, confirmed
}

// isZero says whether nothing is known of a trait.
func isZero(known any) bool { return known == nil || known == "" }

// normal is an address as it is compared, "" for none.
func normal(email string) string {
	a, _ := mailbox.Parse(email) // none where it is none
	return a.Normal
}
