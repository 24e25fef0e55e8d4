package customer

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Status is where a customer stands.
type Status string

// State is what decisions need to know of a customer.
type State struct {
	Status        Status         `json:"status,omitempty"`
	Email         string         `json:"email,omitempty"`
	EmailVerified bool           `json:"emailVerified,omitempty"`
	EmailInvalid  bool           `json:"emailInvalid,omitempty"`
	FirstName     string         `json:"firstName,omitempty"`
	LastName      string         `json:"lastName,omitempty"`
	Phone         string         `json:"phone,omitempty"`
	DateOfBirth   string         `json:"dateOfBirth,omitempty"`
	Address       *Address       `json:"address,omitempty"`
	Attributes    map[string]any `json:"attributes,omitempty"`
	Verification  *Pending       `json:"verification,omitempty"`
	Visitors      []Link         `json:"visitors,omitempty"`
	Aliases       []Link         `json:"aliases,omitempty"`
	Unlinked      []string       `json:"unlinked,omitempty"` // ids that are not to be linked again by themselves
	Groups        []string       `json:"groups,omitempty"`
	Claims        Claims         `json:"claims,omitempty"`
	Previous      Status         `json:"previous,omitempty"` // the status before the deactivation
	// Stamps are when what is known of each trait was said, in Unix milliseconds.
	Stamps map[string]int64 `json:"stamps,omitempty"`
}

// Link is another id of the customer.
type Link struct {
	ID     string `json:"id"`
	At     int64  `json:"at"` // the earliest time that it was said, Unix milliseconds
	Public bool   `json:"public,omitempty"`
}

// Pending is a verification that was asked for.
type Pending struct {
	ID        string    `json:"id"`
	TokenHash string    `json:"tokenHash"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Exists says whether there is a customer to decide on.
func (s State) Exists() bool {
	return s.Status != StatusNone && s.Status != StatusErased && s.Status != StatusErasing
}

// Evolve folds one event that happened at a time; events of other packages change nothing here.
func Evolve(s State, event any, at time.Time) State {
	next := evolve(s, event, at)
	if said := traitsOf(event); len(said) > 0 && !at.IsZero() {
		stamps := maps.Clone(s.Stamps)
		if stamps == nil {
			stamps = map[string]int64{}
		}
		for _, name := range said {
			stamps[name] = max(stamps[name], at.UnixMilli())
		}
		next.Stamps = bounded(stamps, next.Attributes)
	}
	return next
}

// bounded are stamps without the oldest ones of attributes that are not known, if there are too many.
func bounded(stamps map[string]int64, known map[string]any) map[string]int64 {
	if len(stamps) <= maxStamps {
		return stamps
	}
	names := slices.SortedFunc(maps.Keys(stamps), func(a, b string) int { return cmp.Or(cmp.Compare(stamps[a], stamps[b]), cmp.Compare(a, b)) })
	for _, name := range names {
		attribute, ok := strings.CutPrefix(name, attributeTrait)
		if _, is := known[attribute]; ok && !is {
			delete(stamps, name)
		}
		if len(stamps) <= maxStamps {
			break
		}
	}
	return stamps
}

// traitsOf are the traits that an event says something of.
func traitsOf(event any) (names []string) {
	add := func(name string, said bool) {
		if said {
			names = append(names, name)
		}
	}
	switch e := event.(type) {
	case Created:
		add(emailTrait, e.Email != "")
		add(firstNameTrait, e.FirstName != "")
		add(lastNameTrait, e.LastName != "")
		add(phoneTrait, e.Phone != "")
	case EmailUpdated:
		add(emailTrait, true)
	case NameUpdated:
		add(firstNameTrait, e.NewFirstName != e.OldFirstName)
		add(lastNameTrait, e.NewLastName != e.OldLastName)
	case PhoneUpdated:
		add(phoneTrait, true)
	case AddressUpdated:
		old, next := e.OldAddress.known(), e.NewAddress.known()
		for i, name := range addressTraits {
			add(name, *old.parts()[i] != *next.parts()[i])
		}
	case BirthDateUpdated:
		add(bornTrait, true)
	case AttributesUpdated:
		for name := range e.Attributes {
			add(attributeTrait+name, true)
		}
	case TraitsConfirmed:
		names = e.Traits
	}
	return names
}

func evolve(s State, event any, at time.Time) State {
	switch e := event.(type) {
	case Created:
		s.Status = StatusActive
		if e.Unconfirmed {
			s.Status = StatusPending
		}
		s.Email, s.FirstName, s.LastName, s.Phone = e.Email, e.FirstName, e.LastName, e.Phone
	case EmailVerificationRequested:
		s.Verification = &Pending{e.VerificationID, e.TokenHash, e.ExpiresAt}
	case EmailVerified:
		s.EmailVerified, s.Verification = true, nil
		if s.Status == StatusPending {
			s.Status = StatusActive
		}
		if s.Previous == StatusPending {
			s.Previous = StatusActive
		}
	case EmailUpdated:
		s.Email, s.EmailVerified, s.EmailInvalid, s.Verification = e.NewEmail, false, false, nil
	case EmailInvalidated:
		s.EmailInvalid = true
	case NameUpdated:
		s.FirstName, s.LastName = e.NewFirstName, e.NewLastName
	case PhoneUpdated:
		s.Phone = e.NewPhone
	case AddressUpdated:
		s.Address = e.NewAddress
	case BirthDateUpdated:
		s.DateOfBirth = e.NewDateOfBirth
	case AttributesUpdated:
		s.Attributes = Merged(s.Attributes, e.Attributes)
	case Deactivated:
		s.Previous, s.Status = e.PreviousStatus, StatusDeactivated
	case Reactivated:
		s.Previous, s.Status = StatusNone, e.Status
	case DeletionRequested:
		s.Status = StatusErasing
	case DataDeleted:
		s = State{Status: StatusErased}
	case VisitorLinked:
		s.Visitors, s.Unlinked = linked(s.Visitors, e.VisitorID, e.LinkedAt, at, e.Public), without(s.Unlinked, e.VisitorID)
	case VisitorUnlinked:
		s.Visitors, s.Unlinked = unlinked(s.Visitors, e.VisitorID), remember(s.Unlinked, e.VisitorID, MaxUnlinked)
	case Aliased:
		s.Aliases, s.Unlinked = linked(s.Aliases, e.PreviousID, e.LinkedAt, at, false), without(s.Unlinked, e.PreviousID)
	case Unaliased:
		s.Aliases, s.Unlinked = unlinked(s.Aliases, e.PreviousID), remember(s.Unlinked, e.PreviousID, MaxUnlinked)
	case GroupJoined:
		s.Groups = remember(s.Groups, e.GroupID, MaxGroups)
	case TraitsClaimed:
		s.Claims = s.Claims.Evolve(e, at)
	}
	return s
}

// Merged is a JSON merge patch of attributes: null removes.
func Merged(old, patch map[string]any) map[string]any {
	merged := maps.Clone(old)
	if merged == nil {
		merged = make(map[string]any, len(patch))
	}
	for name, value := range patch {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = value
		}
	}
	return merged
}

// remember returns list with entry last, at most limit long.
func remember(list []string, entry string, limit int) []string {
	if slices.Contains(list, entry) {
		return list
	}
	list = append(slices.Clone(list), entry)
	return list[max(0, len(list)-limit):]
}
