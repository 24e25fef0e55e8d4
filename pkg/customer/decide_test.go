package customer_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest"
	"defter/pkg/fault"

	"pgregory.net/rapid"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first  = customer.Verification{ID: "v1", TokenHash: "hash of the first token", ExpiresAt: noon.AddDate(0, 0, 7)}
	second = customer.Verification{ID: "v2", TokenHash: "hash of the second token", ExpiresAt: noon.AddDate(0, 0, 8)}

	created   = customer.Created{Email: "ada@example.com", FirstName: "Ada", LastName: "Byron", Phone: "+44 1", Source: "web", Unconfirmed: true}
	requested = asked("ada@example.com", first)

	stranger   = storetest.Deciding(customer.Decider)
	registered = stranger.Given(created, requested)
	verified   = registered.Given(customer.EmailVerified{VerificationID: "v1"})
	erasing    = verified.Given(customer.DeletionRequested{Reason: "gdpr-request", DeletionType: "anonymize"})
	erased     = erasing.Given(customer.DataDeleted{DeletionType: "anonymize", CompletedAt: noon, CertificateID: "c1"})
)

func asked(email string, v customer.Verification) customer.EmailVerificationRequested {
	return customer.EmailVerificationRequested{Email: email, VerificationID: v.ID, TokenHash: v.TokenHash, ExpiresAt: v.ExpiresAt, Notice: "separate"}
}

func to[T any](v T) *T { return &v }

func deactivated(before customer.Status) customer.Deactivated {
	return customer.Deactivated{Reason: "other", PreviousStatus: before}
}

func TestRegister(t *testing.T) {
	ask := customer.Register{
		Email: " ada@example.com\u200b ", FirstName: "Ada", LastName: "Byron", Phone: "+44 1", Source: "web", TermsAccepted: true, Verification: first,
	}
	stranger.When(t, ask).Then(created, requested)
	registered.When(t, ask).Fails("customer-exists")
	erased.When(t, ask).Fails("customer-exists")

	withWelcome := ask
	withWelcome.Verification.WithWelcome = true
	inWelcome := requested
	inWelcome.Notice = "welcome"
	stranger.When(t, withWelcome).Then(created, inWelcome)

	for slug, change := range map[string]func(*customer.Register){
		"invalid-email":      func(r *customer.Register) { r.Email = "ada@localhost" },
		"terms-not-accepted": func(r *customer.Register) { r.TermsAccepted = false },
		"invalid-source":     func(r *customer.Register) { r.Source = "carrier pigeon" },
		"too-long":           func(r *customer.Register) { r.LastName = strings.Repeat("a", 101) },
	} {
		wrong := ask
		change(&wrong)
		stranger.When(t, wrong).Fails(slug)
	}
}

func TestNormalEmail(t *testing.T) {
	for given, want := range map[string]string{
		"ada@example.com":                        "ada@example.com",
		"  Ada@EXAMPLE.com\n":                    "ada@example.com",
		"a+b@mail.example.com":                   "a+b@mail.example.com",
		"":                                       "",
		"ada":                                    "",
		"ada@":                                   "",
		"@example.com":                           "",
		"ada@localhost":                          "",
		"ada@@example.com":                       "",
		"ada@example.com.":                       "",
		"ada@exa mple.com":                       "",
		"Ada <ada@example.com>":                  "",
		`"ada b"@example.com`:                    "",
		"ada@example.com, b@c.de":                "",
		"ada@example.com\r\nBcc: b@c":            "",
		strings.Repeat("a", 64) + "@example.com": strings.Repeat("a", 64) + "@example.com",
		strings.Repeat("a", 65) + "@example.com": "",
		"a@" + strings.Repeat("b.", 125) + "com": "",
		"a@" + strings.Repeat(strings.Repeat("b", 60)+".", 4) + "example.com": "",
	} {
		got, err := customer.NormalEmail(given)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q, %v, want %q", given, got, err, want)
		}
	}
}

// TestNormalEmailIsNormal: what was normal once stays as it is, or the lookup by address would miss it.
func TestNormalEmailIsNormal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.StringMatching(`[ ]?[a-zA-ZİßΣçŞ.+]{1,10}@[a-zA-ZİÖ.-]{1,10}\.[a-zA-Z]{2,3}[ ]?`).Draw(t, "email")
		once, err := customer.NormalEmail(given)
		if err != nil {
			return
		}
		if again, err := customer.NormalEmail(once); again != once || err != nil {
			t.Fatalf("%q is %q, which is %q, %v", given, once, again, err)
		}
	})
}

// TestB20_VerifiedCustomerIsActive: a registered customer waits for verification and then is active.
func TestB20_VerifiedCustomerIsActive(t *testing.T) {
	verify := customer.VerifyEmail{TokenHash: first.TokenHash, At: noon}
	registered.When(t, verify).Then(customer.EmailVerified{VerificationID: "v1"}).Again().Nothing()
	for want, events := range map[customer.Status][]any{
		customer.StatusPending: {created, requested},
		customer.StatusActive:  {created, requested, customer.EmailVerified{VerificationID: "v1"}},
	} {
		if got := customer.Decider.Fold(events...).Status; got != want {
			t.Errorf("after %d events: %q, want %q", len(events), got, want)
		}
	}
}

func TestVerifyEmail(t *testing.T) {
	verify := customer.VerifyEmail{TokenHash: first.TokenHash, At: first.ExpiresAt.Add(-time.Millisecond)}
	registered.When(t, verify).Then(customer.EmailVerified{VerificationID: "v1"})
	verify.At = first.ExpiresAt
	registered.When(t, verify).Fails("token-expired")

	another := customer.VerifyEmail{TokenHash: second.TokenHash, At: noon}
	registered.When(t, another).Fails("wrong-token")
	asked := registered.Given(asked("ada@example.com", second))
	asked.When(t, another).Then(customer.EmailVerified{VerificationID: "v2"})
	asked.When(t, customer.VerifyEmail{TokenHash: first.TokenHash, At: noon}).Fails("wrong-token")

	stranger.Given(customer.Created{Source: "api"}).When(t, another).Fails("no-verification-pending")
}

func TestRequestVerification(t *testing.T) {
	ask := customer.RequestVerification{Verification: second}
	registered.When(t, ask).Then(asked("ada@example.com", second)).Again().Nothing()
	verified.When(t, ask).Nothing()
	stranger.Given(customer.Created{Source: "api"}).When(t, ask).Fails("no-email")
}

// TestB21_TokenIsNotInEvents: commands carry the hash of a token and events no other field that could hold one.
func TestB21_TokenIsNotInEvents(t *testing.T) {
	event := reflect.TypeFor[customer.EmailVerificationRequested]()
	var fields []string
	for i := range event.NumField() {
		fields = append(fields, event.Field(i).Name)
	}
	if want := []string{"Email", "VerificationID", "TokenHash", "ExpiresAt", "Notice"}; !slices.Equal(fields, want) {
		t.Errorf("fields %v, want %v", fields, want)
	}
	for _, command := range []reflect.Type{reflect.TypeFor[customer.VerifyEmail](), reflect.TypeFor[customer.Verification]()} {
		if _, clear := command.FieldByName("Token"); clear {
			t.Errorf("%s carries a token in clear", command)
		}
	}
	state := customer.Decider.Fold(created, requested)
	if want := (customer.Pending{ID: "v1", TokenHash: first.TokenHash, ExpiresAt: first.ExpiresAt}); *state.Verification != want {
		t.Errorf("pending %+v, want %+v", *state.Verification, want)
	}
}

// TestB15_EmailUpdateIsFolded: the address can be changed back, the same one again is no change, and the old one is right.
func TestB15_EmailUpdateIsFolded(t *testing.T) {
	change := func(email string) customer.ChangeEmail {
		return customer.ChangeEmail{Email: email, IPAddress: "203.0.113.7", UserAgent: "curl", Verification: second}
	}
	changed := func(from, to string) customer.EmailUpdated {
		return customer.EmailUpdated{OldEmail: from, NewEmail: to, IPAddress: "203.0.113.7", UserAgent: "curl", RequiresVerification: true}
	}
	a, b := "ada@example.com", "countess@example.com"
	verified.When(t, change(b)).Then(changed(a, b), asked(b, second)).Again().Nothing()
	moved := verified.Given(changed(a, b), asked(b, second))
	moved.When(t, change(" Countess@Example.com")).Nothing()
	moved.When(t, change(a)).Then(changed(b, a), asked(a, second))
	verified.When(t, change("nonsense")).Fails("invalid-email")

	if s := customer.Decider.Fold(created, requested, customer.EmailVerified{VerificationID: "v1"}, changed(a, b)); s.Email != b || s.EmailVerified || s.Verification != nil {
		t.Errorf("after the change: %+v", s)
	}
	moved.When(t, customer.VerifyEmail{TokenHash: first.TokenHash, At: noon}).Fails("wrong-token")
}

// TestB16_ProfileIsFolded: what a change replaces is what was there.
func TestB16_ProfileIsFolded(t *testing.T) {
	london, paris := customer.Address{City: "London"}, customer.Address{City: "Paris"}
	verified.When(t, customer.UpdateProfile{LastName: to("Lovelace"), Phone: to("+44 2"), Address: &london}).Then(
		customer.NameUpdated{OldFirstName: "Ada", OldLastName: "Byron", NewFirstName: "Ada", NewLastName: "Lovelace"},
		customer.PhoneUpdated{OldPhone: "+44 1", NewPhone: "+44 2"},
		customer.AddressUpdated{NewAddress: &london},
	).Again().Nothing()
	verified.Given(
		customer.NameUpdated{OldFirstName: "Ada", OldLastName: "Byron", NewFirstName: "Ada", NewLastName: "Lovelace"},
		customer.PhoneUpdated{OldPhone: "+44 1", NewPhone: "+44 2"},
		customer.AddressUpdated{NewAddress: &london},
	).When(t, customer.UpdateProfile{FirstName: to("Augusta"), Phone: to("+44 3"), Address: &paris}).Then(
		customer.NameUpdated{OldFirstName: "Ada", OldLastName: "Lovelace", NewFirstName: "Augusta", NewLastName: "Lovelace"},
		customer.PhoneUpdated{OldPhone: "+44 2", NewPhone: "+44 3"},
		customer.AddressUpdated{OldAddress: &london, NewAddress: &paris},
	)
}

// TestB25_MergePatch: what is absent stays, what is empty is cleared, and what is the same is no event.
func TestB25_MergePatch(t *testing.T) {
	home := customer.Address{City: "London"}
	full := verified.Given(
		customer.AddressUpdated{NewAddress: &home}, customer.BirthDateUpdated{NewDateOfBirth: "1815-12-10"},
		customer.AttributesUpdated{Attributes: map[string]any{"plan": "gold", "seats": 3.0}},
	)
	full.When(t, customer.UpdateProfile{}).Nothing()
	full.When(t, customer.UpdateProfile{
		FirstName: to("Ada"), LastName: to("Byron"), Phone: to("+44 1"), Address: &customer.Address{City: "London"},
		Attributes: map[string]any{"plan": "gold", "seats": 3.0, "unknown": nil},
	}).Nothing()
	full.When(t, customer.UpdateProfile{
		FirstName: to(""), Phone: to(""), ClearAddress: true, DateOfBirth: to(""), Attributes: map[string]any{"plan": nil, "seats": 4.0},
	}).Then(
		customer.NameUpdated{OldFirstName: "Ada", OldLastName: "Byron", NewLastName: "Byron"},
		customer.PhoneUpdated{OldPhone: "+44 1"},
		customer.AddressUpdated{OldAddress: &home},
		customer.BirthDateUpdated{OldDateOfBirth: "1815-12-10"},
		customer.AttributesUpdated{Attributes: map[string]any{"plan": nil, "seats": 4.0}},
	).Again().Nothing()
	verified.When(t, customer.UpdateProfile{ClearAddress: true}).Nothing()
}

// TestB26_DateOfBirthIsRecorded: it is an event, and only a date that can be one is taken.
func TestB26_DateOfBirthIsRecorded(t *testing.T) {
	born := func(date string) customer.UpdateProfile {
		return customer.UpdateProfile{DateOfBirth: &date, Today: "2026-03-01"}
	}
	verified.When(t, born("1990-05-17")).Then(customer.BirthDateUpdated{NewDateOfBirth: "1990-05-17"}).Again().Nothing()
	verified.Given(customer.BirthDateUpdated{NewDateOfBirth: "1990-05-17"}).When(t, born("2026-03-01")).
		Then(customer.BirthDateUpdated{OldDateOfBirth: "1990-05-17", NewDateOfBirth: "2026-03-01"})
	for _, wrong := range []string{"17.05.1990", "1990-02-30", "1990-5-17", "1899-12-31", "2026-03-02", "1990-05-17T00:00:00Z"} {
		verified.When(t, born(wrong)).Fails("invalid-date-of-birth")
	}
}

func TestUpdateProfileHasLimits(t *testing.T) {
	for _, long := range []customer.UpdateProfile{
		{FirstName: to(strings.Repeat("ş", 51))},
		{LastName: to(strings.Repeat("a", 101))},
		{Phone: to(strings.Repeat("1", 33))},
		{Address: &customer.Address{Line1: strings.Repeat("a", 201)}},
		{Address: &customer.Address{Line2: strings.Repeat("a", 201)}},
		{Address: &customer.Address{City: strings.Repeat("a", 101)}},
		{Address: &customer.Address{Region: strings.Repeat("a", 101)}},
		{Address: &customer.Address{PostalCode: strings.Repeat("a", 21)}},
		{Address: &customer.Address{Country: strings.Repeat("a", 61)}},
	} {
		verified.When(t, long).Fails("too-long")
	}
	many := map[string]any{}
	for i := range customer.MaxAttributes {
		many[fmt.Sprint("attribute ", i)] = "x"
	}
	full := verified.Given(customer.AttributesUpdated{Attributes: many})
	verified.When(t, customer.UpdateProfile{Attributes: many}).Then(customer.AttributesUpdated{Attributes: many})
	full.When(t, customer.UpdateProfile{Attributes: map[string]any{"one more": "x"}}).Fails("too-many-attributes")
	swapped := map[string]any{"attribute 0": nil, "one more": "x"}
	full.When(t, customer.UpdateProfile{Attributes: swapped}).Then(customer.AttributesUpdated{Attributes: swapped})

	large := verified.Given(customer.AttributesUpdated{Attributes: map[string]any{"a": strings.Repeat("x", customer.MaxAttributeBytes-100)}})
	large.When(t, customer.UpdateProfile{Attributes: map[string]any{"b": strings.Repeat("x", 100)}}).Fails("too-many-attributes")
	fits := map[string]any{"b": strings.Repeat("x", 80)}
	large.When(t, customer.UpdateProfile{Attributes: fits}).Then(customer.AttributesUpdated{Attributes: fits}).Again().Nothing()
}

// TestB17_UnknownCustomer: nothing but registering and identifying can be asked of a customer who is not there.
func TestB17_UnknownCustomer(t *testing.T) {
	for _, command := range everyCommand() {
		switch command.(type) {
		case customer.Register, customer.Identify:
		default:
			stranger.When(t, command).Fails("customer-not-found")
		}
	}
}

// TestErasedCustomer: nothing can be asked of a customer who is or is being erased, and clients' words of them are dropped.
func TestErasedCustomer(t *testing.T) {
	for _, command := range everyCommand() {
		switch c := command.(type) {
		case customer.Register:
			erasing.When(t, c).Fails("customer-exists")
			erased.When(t, c).Fails("customer-exists")
		case customer.Identify:
			erasing.When(t, c).Nothing()
			erased.When(t, c).Nothing()
		case customer.RequestDeletion:
			erasing.When(t, c).Nothing()
			erased.When(t, c).Fails("customer-erased")
		case customer.CompleteDeletion:
			erasing.When(t, c).Then(customer.DataDeleted{DeletionType: "anonymize", CompletedAt: noon, CertificateID: "c1"}).Again().Nothing()
			erased.When(t, c).Nothing()
		default:
			erasing.When(t, c).Fails("customer-erased")
			erased.When(t, c).Fails("customer-erased")
		}
	}
	if s := customer.Decider.Fold(created, customer.DataDeleted{}); !reflect.DeepEqual(s, customer.State{Status: customer.StatusErased}) {
		t.Errorf("an erased customer leaves %+v", s)
	}
}

func TestRequestDeletion(t *testing.T) {
	ask := customer.RequestDeletion{Reason: "gdpr-request", DeletionType: "anonymize"}
	verified.When(t, ask).Then(customer.DeletionRequested{Reason: "gdpr-request", DeletionType: "anonymize"}).Again().Nothing()
	verified.When(t, customer.RequestDeletion{Reason: "because", DeletionType: "anonymize"}).Fails("invalid-reason")
	verified.When(t, customer.RequestDeletion{Reason: "gdpr-request", DeletionType: "soft"}).Fails("invalid-deletion-type")
}

func TestDeactivate(t *testing.T) {
	ask := customer.Deactivate{Reason: "fraud", Notes: "see the ticket"}
	verified.When(t, ask).Then(customer.Deactivated{Reason: "fraud", Notes: "see the ticket", PreviousStatus: customer.StatusActive}).Again().Nothing()
	registered.When(t, ask).Then(customer.Deactivated{Reason: "fraud", Notes: "see the ticket", PreviousStatus: customer.StatusPending})
	verified.When(t, customer.Deactivate{Reason: "boredom"}).Fails("invalid-reason")
	verified.When(t, customer.Deactivate{Reason: "other", Notes: strings.Repeat("a", 1001)}).Fails("too-long")
}

// TestB29_DeactivationIsReversible: to what it was, and to active if the address was verified meanwhile.
func TestB29_DeactivationIsReversible(t *testing.T) {
	verified.Given(deactivated(customer.StatusActive)).When(t, customer.Reactivate{}).
		Then(customer.Reactivated{Status: customer.StatusActive}).Again().Nothing()
	registered.Given(deactivated(customer.StatusPending)).When(t, customer.Reactivate{}).
		Then(customer.Reactivated{Status: customer.StatusPending})
	registered.Given(deactivated(customer.StatusPending), customer.EmailVerified{VerificationID: "v1"}).When(t, customer.Reactivate{}).
		Then(customer.Reactivated{Status: customer.StatusActive})
	verified.When(t, customer.Reactivate{}).Nothing()
}

func TestIdentify(t *testing.T) {
	known := customer.Created{
		Email: "ada@example.com", FirstName: "Ada", LastName: "Byron", ExternalID: "ada@example.com", Source: "web", IPAddress: "203.0.113.7", UserAgent: "curl",
	}
	ask := customer.Identify{
		Email: "ada@example.com", Source: "web", ExternalID: "ada@example.com", IPAddress: "203.0.113.7", UserAgent: "curl", VisitorID: "anonymous-1",
		Profile: customer.UpdateProfile{FirstName: to("Ada"), LastName: to("Byron"), Attributes: map[string]any{"plan": "gold"}},
	}
	stranger.When(t, ask).Then(
		known, customer.AttributesUpdated{Attributes: map[string]any{"plan": "gold"}}, customer.VisitorLinked{VisitorID: "anonymous-1", LinkedAt: &time.Time{}},
	).Again().Nothing()

	ask.Email = "countess@example.com"
	stranger.Given(known).When(t, ask).Then(
		customer.EmailUpdated{OldEmail: "ada@example.com", NewEmail: "countess@example.com", IPAddress: "203.0.113.7", UserAgent: "curl"},
		customer.AttributesUpdated{Attributes: map[string]any{"plan": "gold"}}, customer.VisitorLinked{VisitorID: "anonymous-1", LinkedAt: &time.Time{}},
	).Again().Nothing()
}

// TestP10_OneMailboxIsOneAddress: an address is shown as it was typed first, and typing it in another way changes nothing.
func TestP10_OneMailboxIsOneAddress(t *testing.T) {
	buecher := customer.Created{Email: "Ada@B\u00fccher.example", Source: "web"}
	stranger.When(t, customer.Identify{Email: " Ada@Bu\u0308cher\u200b.example", Source: "web"}).Then(buecher)
	known := stranger.Given(buecher)
	for _, same := range []string{"ada@xn--bcher-kva.example", "ADA@BÜCHER.example", "ａｄａ@bücher.example", "a\u00adda@bücher.example"} {
		known.When(t, customer.Identify{Email: same, At: noon, Timed: true}).Then(customer.TraitsConfirmed{Traits: []string{"email"}})
		known.When(t, customer.ChangeEmail{Email: same, Verification: second}).Nothing()
	}
	for _, none := range []string{"a@-b.com", "a@127.0.0.1", "a\u2028b@c.com", "a@" + strings.Repeat("l", 64) + ".com"} {
		known.When(t, customer.ChangeEmail{Email: none, Verification: second}).Fails("invalid-email")
	}
}

// nowhere is an address of which every part is told to be nothing.
var nowhere = customer.AddressPatch{Line1: to(""), Line2: to(""), City: to(""), Region: to(""), PostalCode: to(""), Country: to("")}

// TestP12_NullClears: what is null is known to be nothing; what is absent stays.
func TestP12_NullClears(t *testing.T) {
	known := stranger.Given(
		customer.Created{Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace", Phone: "+44 1", Source: "web"},
		customer.AddressUpdated{NewAddress: &customer.Address{City: "London"}}, customer.BirthDateUpdated{NewDateOfBirth: "1815-12-10"},
	)
	known.When(t, customer.Identify{Profile: customer.UpdateProfile{FirstName: to("Ada")}}).Nothing()
	known.When(t, customer.Identify{ClearEmail: true, Profile: customer.UpdateProfile{LastName: to(""), Phone: to(""), DateOfBirth: to("")}, Address: nowhere}).Then(
		customer.EmailUpdated{OldEmail: "ada@example.com"}, customer.NameUpdated{OldFirstName: "Ada", OldLastName: "Lovelace", NewFirstName: "Ada"},
		customer.PhoneUpdated{OldPhone: "+44 1"}, customer.AddressUpdated{OldAddress: &customer.Address{City: "London"}}, customer.BirthDateUpdated{OldDateOfBirth: "1815-12-10"},
	).Again().Nothing()
	stranger.When(t, customer.Identify{ClearEmail: true, Source: "web", Profile: customer.UpdateProfile{LastName: to("")}}).Then(customer.Created{Source: "web"})
}

// TestP5_WhatWasSaidNobodyKnowsWhen fills what is not known, and replaces nothing.
func TestP5_WhatWasSaidNobodyKnowsWhen(t *testing.T) {
	known := stranger.Given(customer.Created{FirstName: "Ada", Source: "web"}, customer.AttributesUpdated{Attributes: map[string]any{"plan": "gold"}})
	known.When(t, customer.Identify{
		Email: "ada@example.com", At: noon, Undated: true,
		Address: nowhere, Profile: customer.UpdateProfile{FirstName: to("Augusta"), LastName: to("Byron"), Phone: to(""), Attributes: map[string]any{"plan": "silver", "city": "Van"}},
	}).Then(
		customer.EmailUpdated{NewEmail: "ada@example.com"}, customer.NameUpdated{OldFirstName: "Ada", NewFirstName: "Ada", NewLastName: "Byron"},
		customer.AttributesUpdated{Attributes: map[string]any{"city": "Van"}},
	)
	known.Given(customer.EmailUpdated{NewEmail: "ada@example.com"}).When(t, customer.Identify{ClearEmail: true, At: noon, Undated: true}).Nothing()
}

// TestIdentifyIsAFact: what cannot be taken over is left out or cut, never refused.
func TestIdentifyIsAFact(t *testing.T) {
	known := stranger.Given(customer.Created{Email: "ada@example.com", Source: "web"})
	long := strings.Repeat("ş", 200)
	known.When(t, customer.Identify{
		Profile: customer.UpdateProfile{FirstName: &long, Phone: &long, DateOfBirth: to("last year"), Today: "2026-03-01"},
		Address: customer.AddressPatch{City: &long, Country: to("TR")},
	}).Then(
		customer.NameUpdated{NewFirstName: long[:100]},
		customer.PhoneUpdated{NewPhone: long[:32]},
		customer.AddressUpdated{NewAddress: &customer.Address{City: long[:100], Country: "TR"}},
	).Again().Nothing()

	for _, e := range []customer.Identify{{Email: "no address"}, {Email: "taken@example.com", EmailTaken: true}} {
		known.When(t, e).Then(customer.AttributesUpdated{Attributes: map[string]any{"email": e.Email}}).Again().Nothing()
	}

	many := map[string]any{}
	for i := range customer.MaxAttributes + 5 {
		many[fmt.Sprintf("%03d", i)] = "x"
	}
	fits := map[string]any{}
	for i := range customer.MaxAttributes {
		fits[fmt.Sprintf("%03d", i)] = "x"
	}
	known.When(t, customer.Identify{Profile: customer.UpdateProfile{Attributes: many}}).Then(customer.AttributesUpdated{Attributes: fits}).Again().Nothing()
	known.Given(customer.AttributesUpdated{Attributes: fits}).When(t, customer.Identify{Profile: customer.UpdateProfile{
		Attributes: map[string]any{"000": "y", "one more": "x"},
	}}).Then(customer.AttributesUpdated{Attributes: map[string]any{"000": "y"}})

	large := strings.Repeat("x", customer.MaxAttributeBytes/2)
	known.When(t, customer.Identify{Profile: customer.UpdateProfile{
		Attributes: map[string]any{"a": large, "b": large, "c": "small", "d": nil},
	}}).Then(customer.AttributesUpdated{Attributes: map[string]any{"a": large, "c": "small"}}).Again().Nothing()
	known.Given(customer.AttributesUpdated{Attributes: map[string]any{"b": large}}).When(t, customer.Identify{Profile: customer.UpdateProfile{
		Attributes: map[string]any{"a": large, "b": nil},
	}}).Then(customer.AttributesUpdated{Attributes: map[string]any{"a": large, "b": nil}}).Again().Nothing()
}

// TestS6_NoUnlinkIsForgotten: whoever is known to be somebody else is not linked again by itself, however many they are; one too many is refused.
func TestS6_NoUnlinkIsForgotten(t *testing.T) {
	at := time.UnixMilli(60_000).UTC()
	apart := verified
	for i := range customer.MaxUnlinked {
		apart = apart.Given(customer.VisitorLinked{VisitorID: fmt.Sprint("a", i), LinkedAt: &at}, customer.VisitorUnlinked{VisitorID: fmt.Sprint("a", i)})
	}
	for i := range customer.MaxUnlinked {
		apart.When(t, customer.LinkVisitor{VisitorID: fmt.Sprint("a", i), At: at}).Nothing()
	}
	more := apart.Given(customer.VisitorLinked{VisitorID: "more", LinkedAt: &at}, customer.Aliased{PreviousID: "former", LinkedAt: &at})
	more.When(t, customer.UnlinkVisitor{VisitorID: "more"}).Fails("too-many-unlinked")
	more.When(t, customer.Unalias{PreviousID: "former"}).Fails("too-many-unlinked")
	fewer := more.Given(customer.VisitorLinked{VisitorID: "a0", LinkedAt: &at}) // somebody asked for it after all
	fewer.When(t, customer.UnlinkVisitor{VisitorID: "more"}).Then(customer.VisitorUnlinked{VisitorID: "more"})
}

func TestLinkVisitor(t *testing.T) {
	early, late := time.UnixMilli(60_000).UTC(), time.UnixMilli(120_000).UTC()
	linked := func(id string, at time.Time) customer.VisitorLinked {
		return customer.VisitorLinked{VisitorID: id, LinkedAt: &at}
	}
	verified.When(t, customer.LinkVisitor{VisitorID: "a1", At: late}).Then(linked("a1", late)).Again().Nothing()
	known := verified.Given(linked("a1", late))
	known.When(t, customer.LinkVisitor{VisitorID: "a1", At: early}).Then(linked("a1", early)).Again().Nothing() // since earlier
	known.When(t, customer.LinkVisitor{VisitorID: "a1", At: late.Add(time.Second)}).Nothing()
	verified.When(t, customer.LinkVisitor{VisitorID: "a1", At: late.Add(999 * time.Millisecond)}).Then(linked("a1", late)) // to the second
	verified.When(t, customer.LinkVisitor{}).Nothing()
	many := verified
	for i := range customer.MaxVisitors + 1 {
		many = many.Given(linked(fmt.Sprint(i), late))
	}
	many.When(t, customer.LinkVisitor{VisitorID: "1", At: late}).Nothing()
	many.When(t, customer.LinkVisitor{VisitorID: "0", At: late}).Then(linked("0", late)).Again().Nothing() // which left the state
	many.When(t, customer.UnlinkVisitor{VisitorID: "0"}).Nothing()
	many.When(t, customer.UnlinkVisitor{VisitorID: "0", Linked: true}).Then(customer.VisitorUnlinked{VisitorID: "0"}).Again().Nothing()

	gone := customer.VisitorUnlinked{VisitorID: "a1", Reason: "a library's computer"}
	known.When(t, customer.UnlinkVisitor{VisitorID: "a1", Reason: "a library's computer"}).Then(gone).Again().Nothing()
	verified.When(t, customer.UnlinkVisitor{VisitorID: "a1"}).Nothing()
	apart := known.Given(gone)
	apart.When(t, customer.LinkVisitor{VisitorID: "a1", At: early}).Nothing() // not by itself
	apart.When(t, customer.LinkVisitor{VisitorID: "a1", At: early, Asked: true}).Then(linked("a1", early)).Again().Nothing()
	apart.Given(linked("a1", early), gone, linked("a1", late)).When(t, customer.LinkVisitor{VisitorID: "a1", At: early}).Then(linked("a1", early))
}

func TestAlias(t *testing.T) {
	at := time.UnixMilli(60_000).UTC()
	aliased := customer.Aliased{PreviousID: "u1", LinkedAt: &at}
	verified.When(t, customer.Alias{PreviousID: "u1", At: at}).Then(aliased).Again().Nothing()
	gone := customer.Unaliased{PreviousID: "u1"}
	verified.Given(aliased).When(t, customer.Unalias{PreviousID: "u1"}).Then(gone).Again().Nothing()
	verified.Given(aliased, gone).When(t, customer.Alias{PreviousID: "u1", At: at}).Nothing()
	verified.Given(aliased, gone).When(t, customer.Alias{PreviousID: "u1", At: at, Asked: true}).Then(aliased)
}

// TestTheLaterWordCounts: whichever of two clients' messages arrives first, what was said later counts, and of two that
// were said at the same time always the same one.
func TestTheLaterWordCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var said []customer.Identify
		for range rapid.IntRange(1, 6).Draw(t, "messages") {
			at := time.UnixMilli(rapid.Int64Range(1, 5).Draw(t, "at"))
			c := customer.Identify{Source: "web", At: at, Timed: true, VisitorID: rapid.SampledFrom([]string{"", "a1", "a2"}).Draw(t, "visitor")}
			c.Email = rapid.SampledFrom([]string{"", "a@mail.example", "b@mail.example"}).Draw(t, "email")
			if rapid.Bool().Draw(t, "name") {
				first := rapid.SampledFrom([]string{"Ada", "Augusta"}).Draw(t, "first")
				c.Profile.FirstName = &first
			}
			if rapid.Bool().Draw(t, "address") {
				c.Profile.Address = &customer.Address{City: rapid.SampledFrom([]string{"Van", "Bursa"}).Draw(t, "city")}
			}
			if rapid.Bool().Draw(t, "attribute") {
				c.Profile.Attributes = map[string]any{"plan": rapid.SampledFrom([]any{"gold", "silver", 3.0, nil}).Draw(t, "plan")}
			}
			said = append(said, c)
		}
		fold := func(said []customer.Identify) string {
			var s customer.State
			for _, c := range said {
				events, err := customer.Decide(s, c)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					s = customer.Evolve(s, e, c.At)
				}
			}
			slices.SortFunc(s.Visitors, func(a, b customer.Link) int { return strings.Compare(a.ID, b.ID) })
			state, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(state)
		}
		want := fold(said)
		if got := fold(rapid.Permutation(said).Draw(t, "order")); got != want {
			t.Fatalf("in another order\n got  %s\n want %s", got, want)
		}
	})
}

// TestJoinGroup: with traits it is recorded each time, since they may have changed.
func TestJoinGroup(t *testing.T) {
	verified.When(t, customer.JoinGroup{GroupID: "g1"}).Then(customer.GroupJoined{GroupID: "g1"}).Again().Nothing()
	traits := map[string]any{"size": 3.0}
	verified.Given(customer.GroupJoined{GroupID: "g1"}).When(t, customer.JoinGroup{GroupID: "g1", Traits: traits}).
		Then(customer.GroupJoined{GroupID: "g1", Traits: traits})
}

func TestUnknownCommand(t *testing.T) {
	type Dance struct{}
	verified.When(t, Dance{}).Fails("unknown-command")
}

// TestB14_FoldIsComplete: every event type of the package has its effect on the state, and none else.
func TestB14_FoldIsComplete(t *testing.T) {
	before := func() customer.State {
		return customer.State{
			Status: customer.StatusActive, Email: "ada@example.com", EmailVerified: true, EmailInvalid: true, FirstName: "Ada", LastName: "Byron",
			Phone: "+44 1", DateOfBirth: "1915-12-10", Address: &customer.Address{City: "London"}, Attributes: map[string]any{"plan": "gold", "seats": 3.0},
			Verification: &customer.Pending{ID: "v0"}, Visitors: links("a0"), Aliases: links("u0"), Groups: []string{"g0"},
		}
	}
	paris := &customer.Address{City: "Paris"}
	cases := []struct {
		event  any
		change func(*customer.State)
	}{
		{customer.Created{Email: "e@example.com", FirstName: "E", LastName: "F", Phone: "+1"}, func(s *customer.State) {
			s.Email, s.FirstName, s.LastName, s.Phone = "e@example.com", "E", "F", "+1"
		}},
		{customer.Created{Unconfirmed: true}, func(s *customer.State) {
			s.Status, s.Email, s.FirstName, s.LastName, s.Phone = customer.StatusPending, "", "", "", ""
		}},
		{requested, func(s *customer.State) {
			s.Verification = &customer.Pending{ID: "v1", TokenHash: first.TokenHash, ExpiresAt: first.ExpiresAt}
		}},
		{customer.EmailVerified{VerificationID: "v0"}, func(s *customer.State) { s.Verification = nil }},
		{customer.EmailUpdated{OldEmail: "ada@example.com", NewEmail: "e@example.com"}, func(s *customer.State) {
			s.Email, s.EmailVerified, s.EmailInvalid, s.Verification = "e@example.com", false, false, nil
		}},
		{customer.EmailInvalidated{Reason: "bounced-permanent"}, func(*customer.State) {}}, // as it was before
		{customer.NameUpdated{NewFirstName: "A", NewLastName: "L"}, func(s *customer.State) { s.FirstName, s.LastName = "A", "L" }},
		{customer.PhoneUpdated{NewPhone: "+2"}, func(s *customer.State) { s.Phone = "+2" }},
		{customer.AddressUpdated{NewAddress: paris}, func(s *customer.State) { s.Address = paris }},
		{customer.AddressUpdated{}, func(s *customer.State) { s.Address = nil }},
		{customer.BirthDateUpdated{NewDateOfBirth: "1990-01-01"}, func(s *customer.State) { s.DateOfBirth = "1990-01-01" }},
		{customer.AttributesUpdated{Attributes: map[string]any{"plan": nil, "city": "Van"}}, func(s *customer.State) {
			s.Attributes = map[string]any{"seats": 3.0, "city": "Van"}
		}},
		{deactivated(customer.StatusActive), func(s *customer.State) {
			s.Status, s.Previous = customer.StatusDeactivated, customer.StatusActive
		}},
		{customer.Reactivated{Status: customer.StatusPending}, func(s *customer.State) { s.Status = customer.StatusPending }},
		{customer.DeletionRequested{}, func(s *customer.State) { s.Status = customer.StatusErasing }},
		{customer.DataDeleted{}, func(s *customer.State) { *s = customer.State{Status: customer.StatusErased} }},
		{customer.VisitorLinked{VisitorID: "a1"}, func(s *customer.State) { s.Visitors = links("a0", "a1") }},
		{customer.VisitorLinked{VisitorID: "a0"}, func(*customer.State) {}},
		{customer.VisitorUnlinked{VisitorID: "a0"}, func(s *customer.State) { s.Visitors, s.Unlinked = []customer.Link{}, []string{"a0"} }},
		{customer.Unaliased{PreviousID: "u0"}, func(s *customer.State) { s.Aliases, s.Unlinked = []customer.Link{}, []string{"u0"} }},
		{customer.TraitsClaimed{Traits: map[string]any{"firstName": "Eve"}}, func(s *customer.State) {
			s.Claims = customer.Claims{"firstName": {Value: "Eve", At: time.Time{}.UnixMilli()}}
		}},
		{customer.TraitsConfirmed{Traits: []string{"email"}}, func(*customer.State) {}}, // its time counts
		{customer.Aliased{PreviousID: "u1"}, func(s *customer.State) { s.Aliases = links("u0", "u1") }},
		{customer.GroupJoined{GroupID: "g1"}, func(s *customer.State) { s.Groups = []string{"g0", "g1"} }},
		{struct{ SomebodyElses string }{"event"}, func(*customer.State) {}},
	}
	catalog := eventstore.NewCatalog(customer.Events)
	folded := map[string]bool{}
	for _, c := range cases {
		folded[catalog.NameOf(c.event)] = true
		given, want := before(), before()
		c.change(&want)
		if got := customer.Evolve(given, c.event, time.Time{}); !reflect.DeepEqual(got, want) {
			t.Errorf("%T%+v\n  got:  %+v\n  want: %+v", c.event, c.event, got, want)
		}
		if !reflect.DeepEqual(given, before()) {
			t.Errorf("%T changed the state before it in place", c.event)
		}
	}
	for _, name := range catalog.Names() {
		if !folded[name] {
			t.Errorf("%s has no case", name)
		}
	}
	if s := customer.Evolve(customer.State{}, customer.EmailInvalidated{}, time.Time{}); !s.EmailInvalid {
		t.Error("an invalidated address is not known to be")
	}
	waiting := customer.State{Status: customer.StatusDeactivated, Previous: customer.StatusPending}
	if s := customer.Evolve(waiting, customer.EmailVerified{}, time.Time{}); !s.EmailVerified || s.Status != customer.StatusDeactivated || s.Previous != customer.StatusActive {
		t.Errorf("verified while deactivated: %+v", s)
	}
	if s := customer.Evolve(waiting, customer.Reactivated{Status: customer.StatusPending}, time.Time{}); s.Previous != customer.StatusNone {
		t.Errorf("reactivated: %+v", s)
	}
}

func links(ids ...string) []customer.Link {
	var known []customer.Link
	for _, id := range ids {
		known = append(known, customer.Link{ID: id, At: time.Time{}.UnixMilli()})
	}
	return known
}

// TestStatesAreNotShared: two that go on from the same state do not see each other's events.
func TestStatesAreNotShared(t *testing.T) {
	for _, link := range []func(id string) any{
		func(id string) any { return customer.VisitorLinked{VisitorID: id} },
		func(id string) any { return customer.Aliased{PreviousID: id} },
		func(id string) any { return customer.GroupJoined{GroupID: id} },
		func(id string) any { return customer.AttributesUpdated{Attributes: map[string]any{id: true}} },
	} {
		begin := customer.Decider.Fold(link("1"), link("2"), link("3"))
		a := customer.Evolve(begin, link("a"), time.Time{})
		customer.Evolve(begin, link("b"), time.Time{})
		if want := customer.Decider.Fold(link("1"), link("2"), link("3"), link("a")); !reflect.DeepEqual(a, want) {
			t.Errorf("got %+v, want %+v", a, want)
		}
	}
}

func TestExists(t *testing.T) {
	for status, want := range map[customer.Status]bool{
		customer.StatusNone: false, customer.StatusPending: true, customer.StatusActive: true, customer.StatusDeactivated: true,
		customer.StatusErasing: false, customer.StatusErased: false,
	} {
		if got := (customer.State{Status: status}).Exists(); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}

func everyCommand() []customer.Command {
	return []customer.Command{
		customer.Register{Email: "ada@example.com", Source: "web", TermsAccepted: true, Verification: first},
		customer.VerifyEmail{TokenHash: first.TokenHash, At: noon},
		customer.RequestVerification{Verification: second},
		customer.ChangeEmail{Email: "countess@example.com", Verification: second},
		customer.UpdateProfile{FirstName: to("Augusta")},
		customer.Deactivate{Reason: "other"},
		customer.Reactivate{},
		customer.RequestDeletion{Reason: "gdpr-request", DeletionType: "anonymize"},
		customer.CompleteDeletion{DeletionType: "anonymize", CertificateID: "c1", At: noon},
		customer.Identify{Email: "ada@example.com", Source: "web", VisitorID: "a1"},
		customer.LinkVisitor{VisitorID: "a1"},
		customer.Alias{PreviousID: "u1"},
		customer.JoinGroup{GroupID: "g1"},
	}
}

// anyCommand draws commands that are often right and often about the same few things.
func anyCommand() *rapid.Generator[customer.Command] {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "Ada", "Şule"}), rapid.StringN(0, 30, 120))
	email := rapid.OneOf(rapid.SampledFrom([]string{"ada@example.com", "Ada@example.com", "b@example.com", "nonsense", ""}), text)
	date := rapid.SampledFrom([]string{"", "1990-05-17", "1890-01-01", "2030-01-01", "soon"})
	values := rapid.OneOf(rapid.Just(any(nil)), rapid.Just(any(true)), rapid.Map(rapid.Float64Range(-9, 9), func(f float64) any { return f }), rapid.Map(text, func(s string) any { return s }))
	attributes := rapid.MapOfN(rapid.StringMatching("[ab]?"), values, 0, 3)
	verification := rapid.Custom(func(t *rapid.T) customer.Verification {
		n := rapid.IntRange(1, 3).Draw(t, "n")
		return customer.Verification{ID: fmt.Sprint("v", n), TokenHash: fmt.Sprint("hash", n), ExpiresAt: noon.AddDate(0, 0, n), WithWelcome: n == 2}
	})
	profile := rapid.Custom(func(t *rapid.T) customer.UpdateProfile {
		u := customer.UpdateProfile{
			FirstName: rapid.Ptr(text, true).Draw(t, "first"), LastName: rapid.Ptr(text, true).Draw(t, "last"), Phone: rapid.Ptr(text, true).Draw(t, "phone"),
			DateOfBirth: rapid.Ptr(date, true).Draw(t, "born"), Today: "2026-03-01", Attributes: attributes.Draw(t, "attributes"),
		}
		switch rapid.IntRange(0, 2).Draw(t, "address") {
		case 1:
			u.Address = &customer.Address{City: text.Draw(t, "city"), Country: text.Draw(t, "country")}
		case 2:
			u.ClearAddress = true
		}
		return u
	})
	return rapid.Custom(func(t *rapid.T) customer.Command {
		id := rapid.SampledFrom([]string{"", "1", "2"})
		switch rapid.IntRange(0, 13).Draw(t, "command") {
		case 0, 1:
			return customer.Register{
				Email: email.Draw(t, "email"), FirstName: text.Draw(t, "first"), LastName: text.Draw(t, "last"), Source: "web", TermsAccepted: true,
				Verification: verification.Draw(t, "verification"),
			}
		case 2:
			return customer.VerifyEmail{TokenHash: verification.Draw(t, "verification").TokenHash, At: noon.AddDate(0, 0, rapid.IntRange(0, 4).Draw(t, "days"))}
		case 3:
			return customer.RequestVerification{Verification: verification.Draw(t, "verification")}
		case 4:
			return customer.ChangeEmail{Email: email.Draw(t, "email"), Verification: verification.Draw(t, "verification")}
		case 5:
			return profile.Draw(t, "profile")
		case 6:
			return customer.Deactivate{Reason: rapid.SampledFrom([]string{"fraud", "boredom"}).Draw(t, "reason"), Notes: text.Draw(t, "notes")}
		case 7:
			return customer.Reactivate{}
		case 8:
			return customer.RequestDeletion{Reason: "gdpr-request", DeletionType: "anonymize"}
		case 9:
			return customer.CompleteDeletion{DeletionType: "anonymize", CertificateID: "c1", At: noon}
		case 10:
			return customer.LinkVisitor{VisitorID: id.Draw(t, "visitor")}
		case 11:
			return customer.Alias{PreviousID: id.Draw(t, "previous")}
		case 12:
			return customer.JoinGroup{GroupID: id.Draw(t, "group")}
		}
		return customer.Identify{
			Email: email.Draw(t, "email"), EmailTaken: rapid.Bool().Draw(t, "taken"), Profile: profile.Draw(t, "profile"), Source: "web",
			VisitorID: id.Draw(t, "visitor"),
		}
	})
}

// TestAnyCommands: whatever is asked, a refusal comes without events, the events of an answer fit their schemas, and the
// same again is nothing to do.
func TestAnyCommands(t *testing.T) {
	catalog := eventstore.NewCatalog(customer.Events)
	accepted := map[reflect.Type]int{}
	check := func(t *rapid.T) {
		state := rapid.SampledFrom([]customer.State{
			{}, {Status: customer.StatusActive, Email: "ada@example.com"}, {Status: customer.StatusDeactivated, Previous: customer.StatusActive},
			{Status: customer.StatusErasing},
			{Status: customer.StatusPending, Email: "b@example.com", Verification: &customer.Pending{ID: "v1", TokenHash: "hash1", ExpiresAt: noon.AddDate(0, 0, 9)}},
		}).Draw(t, "state")
		for range rapid.IntRange(1, 24).Draw(t, "commands") {
			command := anyCommand().Draw(t, "command")
			decided, err := customer.Decide(state, command)
			if err != nil {
				if len(decided) > 0 || fault.KindOf(err) == fault.Internal {
					t.Fatalf("%+v refused with %v, and %d events", command, err, len(decided))
				}
				continue
			}
			for _, e := range decided {
				checkSchema(t, catalog, e)
				state = customer.Evolve(state, e, time.Time{})
			}
			if _, registering := command.(customer.Register); registering {
				continue // there is a customer now
			}
			if again, err := customer.Decide(state, command); err != nil || len(again) > 0 {
				t.Fatalf("%T%+v again: %+v, %v", command, command, again, err)
			}
			if len(decided) > 0 {
				accepted[reflect.TypeOf(command)]++
			}
		}
	}
	missing := func() (commands []customer.Command) {
		for _, command := range everyCommand() {
			if _, registering := command.(customer.Register); !registering && accepted[reflect.TypeOf(command)] == 0 {
				commands = append(commands, command)
			}
		}
		return commands
	}
	for range 50 { // the draws are random: go on until each command was accepted once
		rapid.Check(t, check)
		if len(missing()) == 0 {
			return
		}
	}
	t.Errorf("never accepted, so the test tries too little: %T", missing())
}

func checkSchema(t *rapid.T, catalog *eventstore.Catalog, event any) {
	name, schema, _, _, err := catalog.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Validate(name, schema, data); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
}
