package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/channel"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/identity"
	"defter/pkg/insight"
	"defter/pkg/money"
	"defter/pkg/order"
	"defter/pkg/retention"
	"defter/pkg/segment"
)

// Money is an amount in minor units of its currency.
type Money struct {
	Currency    string `json:"currency" description:"ISO 4217 code"`
	AmountMinor int64  `json:"amountMinor" description:"in minor units, such as cents"`
}

// Average is what an order comes to.
type Average struct {
	Currency    string `json:"currency" description:"ISO 4217 code"`
	AmountMinor int64  `json:"amountMinor" description:"the lifetime value over Payments, rounded half away from zero"`
	Payments    int64  `json:"payments" description:"that succeeded"`
}

// Facts are what is known of a customer that does not identify a person.
type Facts struct {
	CustomerID    string          `json:"customerId"`
	Status        customer.Status `json:"status" enum:"pending-verification,active,deactivated,erasing,deleted"`
	EmailVerified bool            `json:"emailVerified"`
	EmailInvalid  bool            `json:"emailInvalid,omitempty"`
	Orders        int64           `json:"orders" description:"orders placed and not cancelled"`
	LifetimeValue []Money         `json:"lifetimeValue" description:"paid minus refunded, by currency"`
	AverageOrder  []Average       `json:"averageOrder,omitempty" description:"the lifetime value over the payments, by currency"`
	FirstOrderAt  *time.Time      `json:"firstOrderAt,omitempty"`
	LastOrderAt   *time.Time      `json:"lastOrderAt,omitempty"`
	FirstSeenAt   *time.Time      `json:"firstSeenAt,omitempty" description:"of the earliest event of the customer's own doing"`
	LastSeenAt    *time.Time      `json:"lastSeenAt,omitempty"`
	// LastSeen is by channel.
	LastSeen   map[string]time.Time `json:"lastSeen,omitempty" description:"by channel: browser, mobile, server, webhook, api, and email for what became of messages"`
	Visitors   []string             `json:"visitors,omitempty" description:"anonymous visitors who are this customer"`
	Claimed    []string             `json:"claimedVisitors,omitempty" description:"those of the visitors of whom only pages and apps said so"`
	Aliases    []string             `json:"aliases,omitempty" description:"former ids of this customer"`
	Groups     []string             `json:"groups,omitempty"`
	Segments   segment.State        `json:"segments,omitempty"`
	MergedInto string               `json:"mergedInto,omitempty" description:"the customer whom this one turned out to be"`
	CreatedAt  *time.Time           `json:"createdAt,omitempty" description:"when the customer was first heard of"`
	UpdatedAt  time.Time            `json:"updatedAt" description:"when the last event was recorded"`
}

// Personal is what erasing takes away.
type Personal struct {
	Email       string            `json:"email,omitempty"`
	FirstName   string            `json:"firstName,omitempty"`
	LastName    string            `json:"lastName,omitempty"`
	Phone       string            `json:"phone,omitempty"`
	DateOfBirth string            `json:"dateOfBirth,omitempty"`
	Address     *customer.Address `json:"address,omitempty"`
	Attributes  map[string]any    `json:"attributes,omitempty"`
	ExternalID  string            `json:"externalId,omitempty"`
	insight.State
	Claims customer.Claims `json:"claims,omitempty" description:"what pages and apps said of the customer, each with the time it was said: anybody can, so that none of it is shown as theirs or written to"`
}

// Profile is the state of the profile view. It is kept for visitors too, as the checkpoint of their timeline.
type Profile struct {
	Facts
	CartAt     *time.Time        `json:"cartAt,omitempty"` // when a cart was last touched: the record has them
	Identity   identity.State    `json:"identity,omitzero"`
	Stamps     map[string]int64  `json:"stamps,omitempty"`     // of a visitor's traits: when each was said, Unix milliseconds
	Unarchived *retention.Oldest `json:"unarchived,omitempty"` // the oldest behaviour in the store
	Personal   Personal          `json:"-"`
}

// Customer is a profile as shown.
type Customer struct {
	Version int64 `json:"version" description:"version of the last event that is shown"`
	Facts
	Personal
	Carts []CartShown `json:"carts,omitempty" description:"not ended by an order, the last active first; for a month"`
}

// Profiles is the profile view, with a lookup of the streams whose behaviour is to be archived.
var Profiles = &Document[Profile]{
	Name: "PROFILE", Evolve: evolveProfile, Personal: func(p *Profile) any { return &p.Personal }, Lookups: unarchivedLookups,
}

const (
	customerPrefix = "CUSTOMER#"
	visitorPrefix  = "VISITOR#"
)

// CustomerStream and VisitorStream name streams.
func CustomerStream(id string) string { return customerPrefix + id }
func VisitorStream(id string) string  { return visitorPrefix + id }

// somebodys says whether a stream is about a person, and so has views.
func somebodys(stream string) bool {
	return strings.HasPrefix(stream, customerPrefix) || strings.HasPrefix(stream, visitorPrefix)
}

// CustomerID is the id of a customer's stream; ok is false for any other stream.
func CustomerID(stream string) (id string, ok bool) { return strings.CutPrefix(stream, customerPrefix) }

func evolveProfile(p Profile, e eventstore.Event) Profile {
	if p.CustomerID == "" {
		p.CustomerID, _ = CustomerID(e.Stream)
		p.LifetimeValue = []Money{}
	}
	p.Unarchived = retention.EvolveOldest(p.Unarchived, e)
	if _, archived := e.Data.(retention.Archived); archived { // says nothing new about the customer
		if p.CartAt != nil && e.RecordedAt.Sub(*p.CartAt) > forgotten {
			p.CartAt = nil
		}
		return p
	}
	p.UpdatedAt = e.RecordedAt
	if cart.Touches(e.Data) {
		p.CartAt = later(p.CartAt, e.RecordedAt)
	}
	at := e.OccurredAt
	p.Personal.State = insight.Evolve(p.Personal.State, e.Data, at)
	p.Identity = identity.Evolve(p.Identity, e.Data, retention.Began(e))
	p.MergedInto = p.Identity.Owner()
	if _, erased := e.Data.(customer.DataDeleted); erased {
		id, _ := CustomerID(e.Stream)
		return Profile{Facts: Facts{CustomerID: id, Status: customer.StatusErased, LifetimeValue: []Money{}, UpdatedAt: e.RecordedAt}}
	}
	return evolveDealings(evolvePerson(p, e.Data, at), e)
}

// evolvePerson folds who somebody is.
func evolvePerson(p Profile, event any, at time.Time) Profile {
	switch d := event.(type) {
	case customer.Created:
		p.CreatedAt = &at
		p.Status = customer.StatusActive
		if d.Unconfirmed {
			p.Status = customer.StatusPending
		}
		p.Personal.Email, p.Personal.FirstName, p.Personal.LastName = d.Email, d.FirstName, d.LastName
		p.Personal.Phone, p.Personal.ExternalID = d.Phone, d.ExternalID
	case customer.EmailVerified:
		p.EmailVerified = true
		if p.Status == customer.StatusPending {
			p.Status = customer.StatusActive
		}
	case customer.EmailUpdated:
		p.Personal.Email, p.EmailVerified, p.EmailInvalid = d.NewEmail, false, false
	case customer.EmailInvalidated:
		p.EmailInvalid = true
	case customer.NameUpdated:
		p.Personal.FirstName, p.Personal.LastName = d.NewFirstName, d.NewLastName
	case customer.PhoneUpdated:
		p.Personal.Phone = d.NewPhone
	case customer.AddressUpdated:
		p.Personal.Address = d.NewAddress
	case customer.BirthDateUpdated:
		p.Personal.DateOfBirth = d.NewDateOfBirth
	case customer.AttributesUpdated:
		p.Personal.Attributes = customer.Merged(p.Personal.Attributes, d.Attributes)
	case customer.Deactivated:
		p.Status = customer.StatusDeactivated
	case customer.Reactivated:
		p.Status = d.Status
	case customer.DeletionRequested:
		p.Status = customer.StatusErasing
	case customer.VisitorLinked:
		p.Facts = linked(p.Facts, d.VisitorID, d.Public)
	case customer.VisitorUnlinked:
		p.Visitors, p.Claimed = without(p.Visitors, d.VisitorID), without(p.Claimed, d.VisitorID)
	case customer.Aliased:
		p.Aliases = appended(without(p.Aliases, d.PreviousID), d.PreviousID, customer.MaxVisitors)
	case customer.Unaliased:
		p.Aliases = without(p.Aliases, d.PreviousID)
	case customer.TraitsClaimed:
		p.Personal.Claims = p.Personal.Claims.Evolve(d, at)
	case customer.GroupJoined:
		p.Groups = appended(p.Groups, d.GroupID, customer.MaxGroups)
	}
	return p
}

// evolveDealings folds what somebody does, and has to do with the shop.
func evolveDealings(p Profile, e eventstore.Event) Profile {
	at := e.OccurredAt
	switch d := e.Data.(type) {
	case segment.Added, segment.Removed:
		p.Segments = segment.Evolve(p.Segments, d)
	case activity.Identified:
		said := at
		if !e.Dated() { // whatever was said at a known time counts more
			said = time.Time{}
		}
		p.Personal.Attributes, p.Stamps = told(p.Personal.Attributes, p.Stamps, d.Traits, said)
		return seen(p, e)
	case channel.Opened, channel.Clicked:
		return seenOn(p, "email", at)
	case order.Placed:
		p.Orders++
		p.FirstOrderAt, p.LastOrderAt = earlier(p.FirstOrderAt, at), later(p.LastOrderAt, at)
		return seen(p, e)
	case order.PaymentSucceeded:
		p.LifetimeValue = added(p.LifetimeValue, d.Currency, d.AmountMinor)
		p.AverageOrder = averages(p.LifetimeValue, paid(p.AverageOrder, d.Currency, 1))
	case order.RefundCompleted:
		p.LifetimeValue = added(p.LifetimeValue, d.Currency, -d.AmountMinor)
		p.AverageOrder = averages(p.LifetimeValue, p.AverageOrder)
	case order.RefundReversed:
		p.LifetimeValue = added(p.LifetimeValue, d.Currency, d.AmountMinor)
		p.AverageOrder = averages(p.LifetimeValue, p.AverageOrder)
	case order.Cancelled:
		p.Orders = max(p.Orders-1, 0)
	case retention.Summarised:
		for _, s := range d.Seen {
			p = seenOn(seenOn(p, s.Source, s.FirstAt), s.Source, s.LastAt)
		}
	default:
		if e.Behaviour {
			return seen(p, e)
		}
	}
	return p
}

func seen(p Profile, e eventstore.Event) Profile { return seenOn(p, e.Source, e.OccurredAt) }

// seenOn notes a sign of life, which what the system itself does is not.
func seenOn(p Profile, on string, at time.Time) Profile {
	if on == "system" {
		return p
	}
	p.FirstSeenAt, p.LastSeenAt = earlier(p.FirstSeenAt, at), later(p.LastSeenAt, at)
	if at.After(p.LastSeen[on]) && on != "" {
		p.LastSeen = maps.Clone(p.LastSeen)
		if p.LastSeen == nil {
			p.LastSeen = map[string]time.Time{}
		}
		p.LastSeen[on] = at
	}
	return p
}

// told are attributes and their stamps after more was said of them: of each, what was said last, and of what was said at the
// same time the greater.
func told(attributes map[string]any, stamps map[string]int64, said map[string]any, at time.Time) (map[string]any, map[string]int64) {
	if len(said) == 0 {
		return attributes, stamps
	}
	attributes, stamps = maps.Clone(attributes), maps.Clone(stamps)
	if attributes == nil {
		attributes = map[string]any{}
	}
	if stamps == nil {
		stamps = map[string]int64{}
	}
	ms := at.UnixMilli()
	for _, name := range slices.Sorted(maps.Keys(said)) {
		stamp, known := stamps[name]
		if known && (stamp > ms || stamp == ms && fmt.Sprint(attributes[name]) >= fmt.Sprint(said[name])) || !known && len(stamps) >= customer.MaxAttributes {
			continue
		}
		stamps[name] = ms
		if attributes[name] = said[name]; said[name] == nil {
			delete(attributes, name)
		}
	}
	return attributes, stamps
}

func paid(counts []Average, currency string, more int64) []Average {
	counts = slices.Clone(counts)
	at, found := slices.BinarySearchFunc(counts, currency, func(a Average, c string) int { return strings.Compare(a.Currency, c) })
	if !found {
		counts = slices.Insert(counts, at, Average{Currency: currency})
	}
	counts[at].Payments += more
	return counts
}

// averages are the lifetime values over the payments.
func averages(values []Money, counts []Average) []Average {
	counts = slices.Clone(counts)
	for i, a := range counts {
		for _, m := range values {
			if m.Currency == a.Currency && a.Payments > 0 {
				half := a.Payments / 2
				if m.AmountMinor < 0 {
					half = -half
				}
				counts[i].AmountMinor = money.Add(m.AmountMinor, half) / a.Payments
			}
		}
	}
	return counts
}

func without(list []string, entry string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == entry })
}

func earlier(old *time.Time, at time.Time) *time.Time {
	if old == nil || at.Before(*old) {
		return &at
	}
	return old
}

func later(old *time.Time, at time.Time) *time.Time {
	if old == nil || at.After(*old) {
		return &at
	}
	return old
}

func added(amounts []Money, currency string, minor int64) []Money {
	amounts = slices.Clone(amounts)
	at, found := slices.BinarySearchFunc(amounts, currency, func(m Money, c string) int { return strings.Compare(m.Currency, c) })
	if !found {
		return slices.Insert(amounts, at, Money{currency, minor})
	}
	amounts[at].AmountMinor = money.Add(amounts[at].AmountMinor, minor)
	return amounts
}

// appended returns list with entry last, at most limit long.
// linked are the facts with one more visitor: the latest, as many as the record remembers.
func linked(f Facts, id string, public bool) Facts {
	known := slices.Contains(f.Visitors, id) && !slices.Contains(f.Claimed, id)
	f.Visitors, f.Claimed = append(without(f.Visitors, id), id), without(f.Claimed, id)
	if public && !known {
		f.Claimed = append(f.Claimed, id)
	}
	if len(f.Claimed) > customer.MaxPublicVisitors {
		f.Visitors, f.Claimed = without(f.Visitors, f.Claimed[0]), slices.Clone(f.Claimed[1:])
	}
	if len(f.Visitors)-len(f.Claimed) > customer.MaxVisitors {
		oldest := slices.IndexFunc(f.Visitors, func(id string) bool { return !slices.Contains(f.Claimed, id) })
		f.Visitors = slices.Delete(f.Visitors, oldest, oldest+1)
	}
	return f
}

func appended(list []string, entry string, limit int) []string {
	if slices.Contains(list, entry) {
		return list
	}
	list = append(slices.Clone(list), entry)
	return list[max(0, len(list)-limit):]
}
