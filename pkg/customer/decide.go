package customer

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/mailbox"
)

// Limits of a customer.
const (
	MaxAttributes     = 200
	MaxAttributeBytes = 64 << 10 // of all attributes as JSON, so that a profile fits one item
	MaxVisitors       = 50       // linked visitors, and former ids, that the state remembers and that are shown joined: the newest
	MaxPublicVisitors = 20       // beside them, of whom only a public key said so: junk must not drive out what is known
	MaxUnlinked       = 200      // ids that an operator said are somebody else: all are remembered, more are refused
	MaxGroups         = 50
	maxStamps         = 2 * MaxAttributes // of attributes that were removed, the latest

	FirstBirth = "1900-01-01" // nobody is older
)

// Status is where a customer stands.
type Status string

const (
	StatusNone        Status = ""                     // no such customer
	StatusPending     Status = "pending-verification" // registered, address not yet verified
	StatusActive      Status = "active"
	StatusDeactivated Status = "deactivated"
	StatusErasing     Status = "erasing" // erasure requested and under way
	StatusErased      Status = "deleted"
)

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

// The names of the stamps of traits with a field of their own; those of attributes are their names after "attributes.".
const (
	emailTrait     = "email"
	firstNameTrait = "firstName"
	lastNameTrait  = "lastName"
	phoneTrait     = "phone"
	bornTrait      = "dateOfBirth"
	attributeTrait = "attributes."
)

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

// Decider holds the rules. Its Evolve knows no times; folds of streams call the function of that name.
var Decider = eventstore.Decider[State, Command, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}) },
	Decide: Decide,
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

// Decide decides on one command. Asked again, it returns no events.
func Decide(s State, command Command) ([]any, error) {
	switch c := command.(type) {
	case Register:
		return register(s, c)
	case Identify, Claim:
		events, _, err := Hear(s, command)
		return events, err
	}
	switch s.Status {
	case StatusNone:
		return nil, fault.New(fault.NotFound, "customer-not-found", "there is no such customer")
	case StatusErased:
		if _, ok := command.(CompleteDeletion); !ok {
			return nil, fault.New(fault.NotFound, "customer-erased", "this customer was erased")
		}
	}
	switch c := command.(type) {
	case RequestDeletion:
		return requestDeletion(s, c)
	case CompleteDeletion:
		if s.Status == StatusErased {
			return nil, nil
		}
		return []any{DataDeleted{c.DeletionType, c.At, c.CertificateID}}, nil
	}
	if s.Status == StatusErasing {
		return nil, fault.New(fault.NotFound, "customer-erased", "this customer is being erased")
	}
	switch c := command.(type) {
	case VerifyEmail:
		return verify(s, c)
	case RequestVerification:
		return requestVerification(s, c)
	case ChangeEmail:
		return changeEmail(s, c)
	case UpdateProfile:
		return updateProfile(s, c)
	case Deactivate:
		return deactivate(s, c)
	case Reactivate:
		if s.Status != StatusDeactivated {
			return nil, nil
		}
		status := s.Previous
		if status == StatusNone {
			status = StatusActive
		}
		return []any{Reactivated{status}}, nil
	case LinkVisitor:
		return linkVisitor(s, c), nil
	case UnlinkVisitor:
		if !has(s.Visitors, c.VisitorID) && (!c.Linked || slices.Contains(s.Unlinked, c.VisitorID)) {
			return nil, nil
		}
		return s.unlink(c.VisitorID, c.Reason, VisitorUnlinked{c.VisitorID, c.Reason})
	case Alias:
		c.At = c.At.Truncate(linkPrecision)
		if !c.Asked && slices.Contains(s.Unlinked, c.PreviousID) || !earlier(s.Aliases, c.PreviousID, c.At) {
			return nil, nil
		}
		return []any{Aliased{c.PreviousID, &c.At}}, nil
	case Unalias:
		if !has(s.Aliases, c.PreviousID) && (!c.Linked || slices.Contains(s.Unlinked, c.PreviousID)) {
			return nil, nil
		}
		return s.unlink(c.PreviousID, c.Reason, Unaliased{c.PreviousID, c.Reason})
	case JoinGroup:
		if slices.Contains(s.Groups, c.GroupID) && len(c.Traits) == 0 {
			return nil, nil
		}
		return []any{GroupJoined(c)}, nil
	}
	return nil, fault.New(fault.Internal, "unknown-command", "customer does not know %T", command)
}

// Hear decides on an Identify or a Claim, as Decide does. beyond says that traits were left out for which there is no room.
func Hear(s State, command Command) (events []any, beyond bool, err error) {
	switch c := command.(type) {
	case Identify:
		return identify(s, c)
	case Claim:
		events, beyond = claim(s, c)
		return events, beyond, nil
	}
	return nil, false, fault.New(fault.Internal, "unknown-command", "nobody says %T", command)
}

func register(s State, c Register) ([]any, error) {
	if s.Status != StatusNone {
		return nil, fault.New(fault.Conflict, "customer-exists", "this customer exists already")
	}
	address, err := mailbox.Parse(c.Email)
	if err != nil {
		return nil, err
	}
	email := address.Shown
	switch {
	case !c.TermsAccepted:
		return nil, fault.New(fault.Rejected, "terms-not-accepted", "the terms must be accepted")
	case !slices.Contains([]string{"web", "mobile", "api", "import"}, c.Source):
		return nil, fault.New(fault.Invalid, "invalid-source", "source must be web, mobile, api or import")
	}
	if err := checkTexts(text{"firstName", c.FirstName, 100}, text{"lastName", c.LastName, 100}, text{"phone", c.Phone, 32}); err != nil {
		return nil, err
	}
	return []any{
		Created{
			Email: email, FirstName: c.FirstName, LastName: c.LastName, Phone: c.Phone,
			Source: c.Source, IPAddress: c.IPAddress, UserAgent: c.UserAgent, Unconfirmed: true,
		},
		requested(email, c.Verification),
	}, nil
}

func requested(email string, v Verification) EmailVerificationRequested {
	notice := "separate"
	if v.WithWelcome {
		notice = "welcome"
	}
	return EmailVerificationRequested{Email: email, VerificationID: v.ID, TokenHash: v.TokenHash, ExpiresAt: v.ExpiresAt, Notice: notice}
}

func verify(s State, c VerifyEmail) ([]any, error) {
	switch {
	case s.EmailVerified && s.Verification == nil:
		return nil, nil
	case s.Verification == nil:
		return nil, fault.New(fault.Rejected, "no-verification-pending", "no verification was asked for")
	case s.Verification.TokenHash != c.TokenHash:
		return nil, fault.New(fault.Rejected, "wrong-token", "the token is not the one that was sent last")
	case !c.At.Before(s.Verification.ExpiresAt):
		return nil, fault.New(fault.Rejected, "token-expired", "the token has expired; ask for a new one")
	}
	return []any{EmailVerified{s.Verification.ID}}, nil
}

func requestVerification(s State, c RequestVerification) ([]any, error) {
	switch {
	case s.EmailVerified, s.Verification != nil && s.Verification.ID == c.Verification.ID:
		return nil, nil
	case s.Email == "":
		return nil, fault.New(fault.Rejected, "no-email", "the customer has no email address")
	}
	return []any{requested(s.Email, c.Verification)}, nil
}

func changeEmail(s State, c ChangeEmail) ([]any, error) {
	address, err := mailbox.Parse(c.Email)
	if err != nil {
		return nil, err
	}
	if mailbox.Same(address.Shown, s.Email) {
		return nil, nil
	}
	return []any{
		EmailUpdated{OldEmail: s.Email, NewEmail: address.Shown, IPAddress: c.IPAddress, UserAgent: c.UserAgent, RequiresVerification: true},
		requested(address.Shown, c.Verification),
	}, nil
}

func updateProfile(s State, c UpdateProfile) ([]any, error) {
	if err := checkTexts(
		text{"firstName", value(c.FirstName), 100}, text{"lastName", value(c.LastName), 100}, text{"phone", value(c.Phone), 32},
	); err != nil {
		return nil, err
	}
	if born := value(c.DateOfBirth); born != "" {
		if _, err := time.Parse(time.DateOnly, born); err != nil || born < FirstBirth || born > c.Today {
			return nil, fault.New(fault.Invalid, "invalid-date-of-birth", "dateOfBirth must be a date of the form YYYY-MM-DD, from 1900 to today")
		}
	}
	if a := c.Address; a != nil {
		if err := checkTexts(
			text{"address.line1", a.Line1, 200}, text{"address.line2", a.Line2, 200}, text{"address.city", a.City, 100},
			text{"address.region", a.Region, 100}, text{"address.postalCode", a.PostalCode, 20}, text{"address.country", a.Country, 60},
		); err != nil {
			return nil, err
		}
	}
	var events []any
	first, last := or(c.FirstName, s.FirstName), or(c.LastName, s.LastName)
	if first != s.FirstName || last != s.LastName {
		events = append(events, NameUpdated{s.FirstName, s.LastName, first, last})
	}
	if phone := or(c.Phone, s.Phone); phone != s.Phone {
		events = append(events, PhoneUpdated{s.Phone, phone})
	}
	if c.ClearAddress && s.Address != nil {
		events = append(events, AddressUpdated{s.Address, nil})
	} else if c.Address != nil && (s.Address == nil || *c.Address != *s.Address) {
		events = append(events, AddressUpdated{s.Address, c.Address})
	}
	if born := or(c.DateOfBirth, s.DateOfBirth); born != s.DateOfBirth {
		events = append(events, BirthDateUpdated{s.DateOfBirth, born})
	}
	changed := map[string]any{}
	for name, v := range c.Attributes {
		old, had := s.Attributes[name]
		if v == nil && had || v != nil && !reflect.DeepEqual(old, v) {
			changed[name] = v
		}
	}
	if len(changed) > 0 {
		if merged := Merged(s.Attributes, changed); len(merged) > MaxAttributes || sizeOf(merged) > MaxAttributeBytes {
			return nil, fault.New(fault.Rejected, "too-many-attributes", "a customer has at most %d attributes of %d bytes in all", MaxAttributes, MaxAttributeBytes)
		}
		events = append(events, AttributesUpdated{changed})
	}
	return events, nil
}

func deactivate(s State, c Deactivate) ([]any, error) {
	if s.Status == StatusDeactivated {
		return nil, nil
	}
	if !slices.Contains([]string{"customer-request", "fraud", "terms-violation", "other"}, c.Reason) {
		return nil, fault.New(fault.Invalid, "invalid-reason", "reason must be customer-request, fraud, terms-violation or other")
	}
	if err := checkTexts(text{"notes", c.Notes, 1000}); err != nil {
		return nil, err
	}
	return []any{Deactivated{c.Reason, c.Notes, s.Status}}, nil
}

func requestDeletion(s State, c RequestDeletion) ([]any, error) {
	switch {
	case s.Status == StatusErasing:
		return nil, nil
	case !slices.Contains([]string{"gdpr-request", "data-retention-policy"}, c.Reason):
		return nil, fault.New(fault.Invalid, "invalid-reason", "reason must be gdpr-request or data-retention-policy")
	case c.DeletionType != "anonymize":
		return nil, fault.New(fault.Invalid, "invalid-deletion-type", "deletionType must be anonymize")
	}
	return []any{DeletionRequested(c)}, nil
}

func sizeOf(attributes map[string]any) int {
	raw, _ := json.Marshal(attributes) // they were read from JSON
	return len(raw)
}

// linkPrecision is how exactly the time of a link is known: what arrives a little out of order says nothing new of it.
const linkPrecision = time.Second

func linkVisitor(s State, c LinkVisitor) []any {
	c.At = c.At.Truncate(linkPrecision)
	if c.VisitorID == "" || !c.Asked && slices.Contains(s.Unlinked, c.VisitorID) || !s.saysMore(c) {
		return nil
	}
	return []any{VisitorLinked{c.VisitorID, &c.At, c.Public}}
}

// saysMore says whether a link is new, or earlier than was known, or said by somebody whose word counts where nobody's did.
func (s State) saysMore(c LinkVisitor) bool {
	i := slices.IndexFunc(s.Visitors, func(l Link) bool { return l.ID == c.VisitorID })
	if i < 0 || s.Visitors[i].Public == c.Public {
		return earlier(s.Visitors, c.VisitorID, c.At)
	}
	return s.Visitors[i].Public
}

// earlier says whether a link is new, or was said to be earlier than is known.
func earlier(links []Link, id string, at time.Time) bool {
	i := slices.IndexFunc(links, func(l Link) bool { return l.ID == id })
	return i < 0 || at.UnixMilli() < links[i].At
}

func has(links []Link, id string) bool {
	return slices.ContainsFunc(links, func(l Link) bool { return l.ID == id })
}

// unlink is the event that says that an id is somebody else's. What cannot be remembered is refused: the id would be linked again by itself.
func (s State) unlink(id, reason string, event any) ([]any, error) {
	if len(s.Unlinked) >= MaxUnlinked && !slices.Contains(s.Unlinked, id) {
		return nil, fault.New(fault.Rejected, "too-many-unlinked", "%d ids are known to be somebody else: no more can be remembered", MaxUnlinked)
	}
	return []any{event}, checkTexts(text{"reason", reason, 200})
}

// linked are the links with one more: the latest, at most MaxVisitors that somebody vouches for and MaxPublicVisitors of anybody's saying.
func linked(links []Link, id string, said *time.Time, at time.Time, public bool) []Link {
	if said != nil {
		at = *said
	}
	link := Link{id, at.UnixMilli(), public}
	if i := slices.IndexFunc(links, func(l Link) bool { return l.ID == id }); i >= 0 {
		switch known := links[i]; {
		case known.Public == public:
			link.At = min(link.At, known.At)
		case public:
			link = known
		}
	}
	links = append(unlinked(links, id), link)
	limit, same := MaxVisitors, 0
	if link.Public {
		limit = MaxPublicVisitors
	}
	for _, l := range links {
		if l.Public == link.Public {
			same++
		}
	}
	if same > limit {
		oldest := slices.IndexFunc(links, func(l Link) bool { return l.Public == link.Public })
		links = slices.Delete(links, oldest, oldest+1)
	}
	return links
}

func unlinked(links []Link, id string) []Link {
	return slices.DeleteFunc(slices.Clone(links), func(l Link) bool { return l.ID == id })
}

func without(list []string, entry string) []string {
	if !slices.Contains(list, entry) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == entry })
}

// NormalEmail checks an address and returns it as it is compared.
func NormalEmail(email string) (string, error) {
	a, err := mailbox.Parse(email)
	return a.Normal, err
}

type text struct {
	name, value string
	limit       int
}

func checkTexts(texts ...text) error {
	for _, t := range texts {
		if len(t.value) > t.limit {
			return fault.New(fault.Invalid, "too-long", "%s has %d bytes, at most %d", t.name, len(t.value), t.limit)
		}
	}
	return nil
}

func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func or(p *string, old string) string {
	if p == nil {
		return old
	}
	return *p
}

func clipped(p *string, limit int) *string {
	if p == nil {
		return nil
	}
	c := foreign.Clip(*p, limit)
	return &c
}
