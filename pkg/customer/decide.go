package customer

import (
	"encoding/json"
	"reflect"
	"slices"
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

const (
	StatusNone        Status = ""                     // no such customer
	StatusPending     Status = "pending-verification" // registered, address not yet verified
	StatusActive      Status = "active"
	StatusDeactivated Status = "deactivated"
	StatusErasing     Status = "erasing" // erasure requested and under way
	StatusErased      Status = "deleted"
)

// The names of the stamps of traits with a field of their own; those of attributes are their names after "attributes.".
const (
	emailTrait     = "email"
	firstNameTrait = "firstName"
	lastNameTrait  = "lastName"
	phoneTrait     = "phone"
	bornTrait      = "dateOfBirth"
	attributeTrait = "attributes."
)

// Decider holds the rules. Its Evolve knows no times; folds of streams call the function of that name.
var Decider = eventstore.Decider[State, Command, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}) },
	Decide: Decide,
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
	return decideKnown(s, command)
}

// decideKnown decides on what is asked of a customer who is there and stays.
func decideKnown(s State, command Command) ([]any, error) {
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
