package ingest

import (
	"slices"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/foreign"
)

// Identify returns the command that takes over a message's traits, and notes of what could not be read of them. A trait that is null
// clears what it stands for; one that is absent, or a text without anything in it, says nothing.
func Identify(m Message, s Source, externalID, visitorID string) (customer.Identify, []string) {
	var notes foreign.Notes
	p := foreign.In(m.Traits, "traits", &notes).Over(foreign.In(m.Context.Traits, "traits", &notes))
	c := customer.Identify{
		Email: p.Text(1000, "email"), ClearEmail: p.Null("email"), Source: "api", ExternalID: externalID, VisitorID: visitorID,
		IPAddress: m.Context.IP, UserAgent: m.Context.UserAgent, At: m.OccurredAt, Timed: m.Timed, Undated: m.Undated,
	}
	if !s.Trusted {
		c.Source = "web"
	}
	if _, err := customer.NormalEmail(c.Email); c.Email != "" && err != nil {
		p.Note("email", foreign.Unreadable)
	}
	u := &c.Profile
	u.Today = m.OccurredAt.UTC().Format(time.DateOnly)
	u.FirstName, u.LastName = names(p)
	u.Phone = field(p, p.Text(32, "phone"), "phone")
	born, _ := p.Date("birthday", "dateOfBirth")
	if born != "" && (born < customer.FirstBirth || born > u.Today) {
		p.Note("birthday", foreign.OutOfRange)
		born = ""
	}
	u.DateOfBirth = field(p, born, "birthday", "dateOfBirth")
	c.Address = address(p)
	for _, name := range p.Others("email", "firstName", "lastName", "name", "phone", "birthday", "dateOfBirth", "address") {
		if name == "" || len(name) > 100 {
			notes.Add("traits", foreign.TooLong)
			continue
		}
		if value, told := p.Value(name); told == foreign.Read {
			if u.Attributes == nil {
				u.Attributes = map[string]any{}
			}
			u.Attributes[name] = value
		}
	}
	return c, notes.List()
}

// field is what becomes of a field: what is said, "" where it is said to be nothing, nil where nothing is said.
func field(p foreign.Object, said string, names ...string) *string {
	if said == "" && !p.Null(names...) {
		return nil
	}
	return &said
}

// names are the first and the last name. Of a name in one piece the first word is the one and the others are the other; one word
// alone says nothing of the last name.
func names(p foreign.Object) (given, family *string) {
	given = field(p, words(p.Text(100, "firstName")), "firstName")
	family = field(p, words(p.Text(100, "lastName")), "lastName")
	if given != nil || family != nil {
		return given, family
	}
	if p.Null("name") {
		none := ""
		return &none, &none
	}
	first, rest, more := strings.Cut(words(p.Text(200, "name")), " ")
	if first != "" {
		given = &first
	}
	if more {
		family = &rest
	}
	return given, family
}

// words is a text with one space between its words and none around them.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// The names of an address's parts: Segment's (street, city, state, postalCode, country), ours, Shopify's (address1, province, zip) and other shops'.
var (
	line1      = []string{"street", "line1", "address1", "street1", "streetAddress", "addressLine1"}
	line2      = []string{"line2", "address2", "street2", "addressLine2"}
	city       = []string{"city", "town"}
	region     = []string{"state", "region", "province"}
	postalCode = []string{"postalCode", "zip", "postcode", "zipCode"}
	country    = []string{"country"}
)

// address is what is said of an address, part by part: what is not told of it stays, and a null in the place of all of it clears every part.
func address(p foreign.Object) customer.AddressPatch {
	if p.Null("address") {
		none := ""
		return customer.AddressPatch{Line1: &none, Line2: &none, City: &none, Region: &none, PostalCode: &none, Country: &none}
	}
	a := p.Object("address")
	part := func(limit int, names ...string) *string { return field(a, a.Text(limit, names...), names...) }
	if len(a.Others(slices.Concat(line1, line2, city, region, postalCode, country)...)) > 0 {
		p.Note("address", foreign.Unknown)
	}
	return customer.AddressPatch{
		Line1: part(200, line1...), Line2: part(200, line2...), City: part(100, city...), Region: part(100, region...),
		PostalCode: part(20, postalCode...), Country: part(60, country...),
	}
}

// Traits are a message's traits as they were sent, nil for none, and notes of what could not be read of them.
func Traits(m Message) (map[string]any, []string) {
	var notes foreign.Notes
	p := foreign.In(m.Traits, "traits", &notes)
	var traits map[string]any
	for _, name := range p.Others() {
		if value, told := p.Value(name); told == foreign.Read {
			if traits == nil {
				traits = map[string]any{}
			}
			traits[name] = value
		}
	}
	return traits, notes.List()
}
