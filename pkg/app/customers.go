package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/preference"
	"defter/pkg/record"
	"defter/pkg/view"
)

// proof is from where a customer said something.
type proof struct {
	IPAddress *string `json:"ipAddress,omitempty" minLength:"1" maxLength:"45" description:"the customer's, as proof of consent; absent: the caller's"`
	UserAgent *string `json:"userAgent,omitempty" minLength:"1" maxLength:"512" description:"likewise"`
}

// RegisterRequest is the body of POST /v1/customers.
type RegisterRequest struct {
	Email            string `json:"email" required:"true" maxLength:"254" format:"email"`
	FirstName        string `json:"firstName,omitempty" maxLength:"100"`
	LastName         string `json:"lastName,omitempty" maxLength:"100"`
	Phone            string `json:"phone,omitempty" maxLength:"32"`
	Source           string `json:"source,omitempty" enum:"web,mobile,api,import" default:"api"`
	MarketingConsent bool   `json:"marketingConsent,omitempty" description:"consents to marketing by email"`
	TermsAccepted    bool   `json:"termsAccepted" required:"true"`
	TextVersion      string `json:"textVersion,omitempty" maxLength:"100" description:"of the wording of the consent, as proof"`
	Language         string `json:"language,omitempty" maxLength:"35" description:"of that wording, such as tr"`
	proof
}

// registerCustomer registers a customer: created, consent and verification in one commit.
func (a *App) registerCustomer(ctx context.Context, c *Call) (lambdaio.Response, error) {
	in := RegisterRequest{Source: "api"}
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	ip, agent, err := in.origin(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	id := a.NewID()
	stream := view.CustomerStream(id)
	c.fresh = true
	verification, err := a.verification(ctx, in.MarketingConsent && a.Settings.MarketingUnverified)
	if err != nil {
		return lambdaio.Response{}, err
	}
	_, version, err := a.command(ctx, c, stream, 201, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		events, err := customer.Decide(s.Customer, customer.Register{
			Email: in.Email, FirstName: in.FirstName, LastName: in.LastName, Phone: in.Phone, Source: in.Source,
			IPAddress: ip, UserAgent: agent, TermsAccepted: in.TermsAccepted, Verification: verification,
		})
		if err != nil {
			return nil, nil, err
		}
		if in.MarketingConsent {
			hash, err := a.addressHash(ctx, events[0].(customer.Created).Email)
			if err != nil {
				return nil, nil, err
			}
			granted, err := consent.Decide(s.Consent, consent.Grant{Purpose: consent.Marketing, Channel: consent.Email, At: at, Proof: consent.Proof{
				Method: "registration-checkbox", IPAddress: ip, UserAgent: agent, TextVersion: in.TextVersion, Language: in.Language, AddressHash: hash,
				Controller: a.Settings.DataController,
			}})
			if err != nil {
				return nil, nil, err
			}
			events = append(events[:1:1], append(granted, events[1:]...)...)
		}
		claims, err := a.emailClaims(ctx, stream, events)
		return events, claims, err
	})
	if emailTaken(err) {
		return lambdaio.Response{}, fault.Because(err, fault.Conflict, "email-taken", "another customer has this email address")
	}
	if err != nil {
		return lambdaio.Response{}, err
	}
	shown, ok, err := a.Views.ShowNewCustomer(ctx, id, version) // not what follows at once, so that asked again it is the same
	return customerAnswer(shown, ok, err, 201)
}

// repeatCustomer answers a customer command again, as it was answered first.
func (a *App) repeatCustomer(ctx context.Context, _ *Call, stream string, version int64, status int) (lambdaio.Response, error) {
	return a.showCustomer(ctx, stream, version, status)
}

func (a *App) showCustomer(ctx context.Context, stream string, version int64, status int) (lambdaio.Response, error) {
	id, _ := view.CustomerID(stream)
	var shown view.Customer
	var ok bool
	var err error
	if version == 0 {
		shown, ok, err = a.Views.ShowCustomer(ctx, id)
	} else {
		shown, ok, err = a.Views.ShowCustomerUpTo(ctx, id, version)
	}
	return customerAnswer(shown, ok, err, status)
}

func customerAnswer(shown view.Customer, ok bool, err error, status int) (lambdaio.Response, error) {
	if err != nil {
		return lambdaio.Response{}, err
	}
	if err := known(shown, ok); err != nil {
		return lambdaio.Response{}, err
	}
	response := lambdaio.Response{Status: status, Body: shown}
	if status == 201 {
		response.Header = map[string]string{"location": "/v1/customers/" + shown.CustomerID}
	}
	return response, nil
}

func known(c view.Customer, ok bool) error {
	switch {
	case !ok || c.Status == customer.StatusNone:
		return fault.New(fault.NotFound, "customer-not-found", "there is no such customer")
	case c.Status == customer.StatusErased || c.Status == customer.StatusErasing:
		return fault.New(fault.NotFound, "customer-erased", "this customer was erased")
	}
	return nil
}

// getCustomer answers GET /v1/customers/{id}, with ?version= or ?asOf= as of then.
func (a *App) getCustomer(ctx context.Context, c *Call) (lambdaio.Response, error) {
	id, err := a.customerID(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	until, err := asOf(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if until == nil {
		return a.showCustomer(ctx, view.CustomerStream(id), 0, 200)
	}
	shown, ok, err := a.Views.ShowCustomerAt(ctx, id, until)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if err := known(shown, ok); err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: shown}, nil
}

// asOf reads ?version= and ?asOf=; nil for neither.
func asOf(c *Call) (func(eventstore.Event) bool, error) {
	version, at := c.Query.Get("version"), c.Query.Get("asOf")
	switch {
	case version != "" && at != "":
		return nil, fault.New(fault.Invalid, "invalid-query", "give version or asOf, not both")
	case version != "":
		n, err := positive(version, "version")
		return func(e eventstore.Event) bool { return e.Version <= n }, err
	case at != "":
		t, err := instant(at, "asOf")
		return func(e eventstore.Event) bool { return !e.RecordedAt.After(t) }, err
	}
	return nil, nil
}

// findCustomer answers GET /v1/customers?email=.
func (a *App) findCustomer(ctx context.Context, c *Call) (lambdaio.Response, error) {
	raw := c.Query.Get("email")
	if raw == "" {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-query", "give an email address, as ?email=")
	}
	email, err := customer.NormalEmail(raw)
	if err != nil {
		return lambdaio.Response{}, err
	}
	key, err := a.emailKey(ctx, email)
	if err != nil {
		return lambdaio.Response{}, err
	}
	held, ok, err := a.Log.Store.Claimed(ctx, key)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if !ok {
		return lambdaio.Response{}, fault.New(fault.NotFound, "customer-not-found", "no customer has this email address")
	}
	return a.showCustomer(ctx, held.Owner, 0, 200)
}

// updateProfile answers PATCH /v1/customers/{id}, a JSON merge patch (RFC 7396).
func (a *App) updateProfile(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	patch, err := profilePatch(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	today := a.Now().UTC().Format(time.DateOnly)
	return a.customerCommand(ctx, c, stream, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		update, err := patch(s.Customer)
		if err != nil {
			return nil, nil, err
		}
		update.Today = today
		events, err := customer.Decide(s.Customer, update)
		return events, nil, err
	})
}

// ProfilePatch is the body of PATCH /v1/customers/{id}: null clears a field, what is absent stays.
type ProfilePatch struct {
	FirstName   *string           `json:"firstName,omitempty" maxLength:"100" nullable:"true"`
	LastName    *string           `json:"lastName,omitempty" maxLength:"100" nullable:"true"`
	Phone       *string           `json:"phone,omitempty" maxLength:"32" nullable:"true"`
	DateOfBirth *string           `json:"dateOfBirth,omitempty" format:"date" nullable:"true"`
	Address     *customer.Address `json:"address,omitempty" nullable:"true"`
	Attributes  map[string]any    `json:"attributes,omitempty" description:"null removes an attribute"`
}

// profilePatch reads the patch. What becomes of the address and the attributes depends on what they were.
func profilePatch(c *Call) (func(customer.State) (customer.UpdateProfile, error), error) {
	var in ProfilePatch
	if err := decodePatch(c, &in); err != nil {
		return nil, err
	}
	var present map[string]json.RawMessage
	if err := json.Unmarshal(c.Body, &present); err != nil && len(bytes.TrimSpace(c.Body)) > 0 {
		return nil, fault.New(fault.Invalid, "invalid-json", "%s", jsonDetail(err))
	}
	cleared := func(name string) bool { return string(present[name]) == "null" }
	empty := ""
	for name, field := range map[string]**string{"firstName": &in.FirstName, "lastName": &in.LastName, "phone": &in.Phone, "dateOfBirth": &in.DateOfBirth} {
		if cleared(name) {
			*field = &empty
		}
	}
	for name, value := range in.Attributes {
		if name == "" || len(name) > 100 {
			return nil, fault.New(fault.Invalid, "invalid-attribute", "an attribute's name has 1 to 100 bytes")
		}
		if err := checkAttribute(value, 1); err != nil {
			return nil, err
		}
	}
	return func(s customer.State) (customer.UpdateProfile, error) {
		update := customer.UpdateProfile{
			FirstName: in.FirstName, LastName: in.LastName, Phone: in.Phone, DateOfBirth: in.DateOfBirth,
			ClearAddress: cleared("address"), Attributes: in.Attributes,
		}
		if cleared("attributes") {
			update.Attributes = make(map[string]any, len(s.Attributes))
			for name := range s.Attributes {
				update.Attributes[name] = nil
			}
		}
		if in.Address == nil {
			return update, nil
		}
		address, err := mergedAddress(s.Address, present["address"])
		if address == (customer.Address{}) {
			update.ClearAddress = true
		} else {
			update.Address = &address
		}
		return update, err
	}, nil
}

// maxAttributeDepth is how deep lists and objects may be nested in an attribute.
const maxAttributeDepth = 20

// checkAttribute refuses what no machine could read again.
func checkAttribute(value any, depth int) error {
	if depth > maxAttributeDepth {
		return fault.New(fault.Invalid, "invalid-attribute", "an attribute is nested at most %d deep", maxAttributeDepth)
	}
	switch v := value.(type) {
	case json.Number:
		if _, err := v.Float64(); err != nil {
			return fault.New(fault.Invalid, "invalid-attribute", "an attribute's number is beyond the range of machines")
		}
	case []any:
		for _, element := range v {
			if err := checkAttribute(element, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, member := range v {
			if err := checkAttribute(member, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergedAddress is an address after a JSON merge patch of it, whose types are checked already.
func mergedAddress(old *customer.Address, patch json.RawMessage) (merged customer.Address, err error) {
	if old != nil {
		merged = *old
	}
	var parts map[string]*string
	if err := json.Unmarshal(patch, &parts); err != nil {
		return merged, fmt.Errorf("read the address: %w", err)
	}
	for name, part := range parts {
		if part == nil {
			parts[name] = new(string)
		}
	}
	data, err := json.Marshal(parts)
	if err != nil {
		return merged, fmt.Errorf("read the address: %w", err)
	}
	return merged, json.Unmarshal(data, &merged)
}

// ChangeEmailRequest is the body of PUT /v1/customers/{id}/email.
type ChangeEmailRequest struct {
	Email string `json:"email" required:"true" maxLength:"254" format:"email"`
	proof
}

// changeEmail changes a customer's email address.
func (a *App) changeEmail(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	var in ChangeEmailRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	ip, agent, err := in.origin(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	verification, err := a.verification(ctx, false)
	if err != nil {
		return lambdaio.Response{}, err
	}
	response, err := a.customerCommand(ctx, c, stream, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		events, err := customer.Decide(s.Customer, customer.ChangeEmail{Email: in.Email, IPAddress: ip, UserAgent: agent, Verification: verification})
		if err != nil {
			return nil, nil, err
		}
		claims, err := a.emailClaims(ctx, stream, events)
		return events, claims, err
	})
	if emailTaken(err) {
		return lambdaio.Response{}, fault.Because(err, fault.Conflict, "email-taken", "another customer has this email address")
	}
	return response, err
}

// VerifyEmailRequest is the body of POST /v1/customers/{id}/email-verification.
type VerifyEmailRequest struct {
	Token *string `json:"token,omitempty" minLength:"1" maxLength:"128" description:"from the message; without one, a new message is sent"`
}

// verifyEmail verifies the email address with the token of the message, or sends a new token.
func (a *App) verifyEmail(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	var in VerifyEmailRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	var command customer.Command
	if in.Token != nil {
		command = customer.VerifyEmail{TokenHash: digest(*in.Token), At: a.Now()}
	} else {
		verification, err := a.verification(ctx, false)
		if err != nil {
			return lambdaio.Response{}, err
		}
		command = customer.RequestVerification{Verification: verification}
	}
	return a.customerCommand(ctx, c, stream, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		events, err := customer.Decide(s.Customer, command)
		return events, nil, err
	})
}

// DeactivateRequest is the body of POST /v1/customers/{id}/deactivation.
type DeactivateRequest struct {
	Reason string `json:"reason,omitempty" enum:"customer-request,fraud,terms-violation,other" default:"customer-request"`
	Notes  string `json:"notes,omitempty" maxLength:"1000"`
}

// deactivateCustomer deactivates a customer and revokes marketing consents in the same commit.
func (a *App) deactivateCustomer(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	in := DeactivateRequest{Reason: "customer-request"}
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	return a.customerCommand(ctx, c, stream, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		events, err := customer.Decide(s.Customer, customer.Deactivate{Reason: in.Reason, Notes: in.Notes})
		if err != nil || len(events) == 0 {
			return nil, nil, err
		}
		revoked, err := consent.Decide(s.Consent, consent.RevokeMarketing{Reason: "account-deactivated"})
		return append(events, revoked...), nil, err
	})
}

// reactivateCustomer undoes a deactivation.
func (a *App) reactivateCustomer(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if err := decode(c, &struct{}{}); err != nil {
		return lambdaio.Response{}, err
	}
	return a.customerCommand(ctx, c, stream, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		events, err := customer.Decide(s.Customer, customer.Reactivate{})
		return events, nil, err
	})
}

// PreferencesRequest is the body of PUT /v1/customers/{id}/preferences; what is absent stays.
type PreferencesRequest struct {
	preference.Values
	UpdatedAt *time.Time `json:"updatedAt,omitempty" description:"when the customer chose, for clients that were offline; the later choice of each field wins"`
}

// PreferencesAnswer is the answer to PUT /v1/customers/{id}/preferences.
type PreferencesAnswer struct {
	Preferences preference.Values `json:"preferences"`
}

// setPreferences sets preferences, the last write of each field winning.
func (a *App) setPreferences(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	var in PreferencesRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	set := preference.Set{At: a.Now(), Values: in.Values}
	if in.UpdatedAt != nil {
		at, err := told("updatedAt", in.UpdatedAt, set.At)
		if err != nil {
			return lambdaio.Response{}, err
		}
		set.At, set.Dated = at, true
	}
	head, err := a.commitDecision(ctx, c, stream, stream, 200, record.Fold, func(h *eventstore.Head) (eventstore.Decision, error) {
		s := record.Fold.Of(h)
		if err := existing(s); err != nil {
			return eventstore.Decision{}, err
		}
		events, err := preference.Decide(s.Preference, set)
		d := eventstore.Decision{Events: eventstore.Happened(events...)}
		for i := range d.Events {
			d.Events[i].OccurredAt = set.At
		}
		return d, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	return preferencesAnswer(record.Fold.Of(head))
}

// repeatPreferences answers PUT …/preferences again, with the preferences as of then.
func (a *App) repeatPreferences(ctx context.Context, _ *Call, stream string, version int64, _ int) (lambdaio.Response, error) {
	s, _, err := a.recordAt(ctx, stream, version)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return preferencesAnswer(s)
}

func preferencesAnswer(s record.State) (lambdaio.Response, error) {
	if err := existing(s); err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: PreferencesAnswer{s.Preference.Values}}, nil
}

// customerCommand runs a command on a customer and answers with the customer as it is then.
func (a *App) customerCommand(ctx context.Context, c *Call, stream string, decide func(s record.State, at time.Time) ([]any, []eventstore.Claim, error)) (lambdaio.Response, error) {
	_, version, err := a.command(ctx, c, stream, 200, decide)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if c.key != "" {
		return a.showCustomer(ctx, stream, version, 200)
	}
	return a.showCustomer(ctx, stream, 0, 200)
}

func (a *App) customerStream(ctx context.Context, c *Call) (string, error) {
	id, err := a.customerID(ctx, c)
	return view.CustomerStream(id), err
}

// existing refuses to decide on a customer who is not there.
func existing(s record.State) error {
	switch s.Customer.Status {
	case customer.StatusNone:
		return fault.New(fault.NotFound, "customer-not-found", "there is no such customer")
	case customer.StatusErased, customer.StatusErasing:
		return fault.New(fault.NotFound, "customer-erased", "this customer was erased")
	}
	return nil
}

// verification makes a token. It can be made again from its id, so only its hash is stored.
func (a *App) verification(ctx context.Context, withWelcome bool) (customer.Verification, error) {
	id := a.NewID()
	token, err := a.Keyring.Token(ctx, "email-verification", id)
	return customer.Verification{
		ID: id, TokenHash: digest(token), ExpiresAt: a.Now().UTC().Truncate(time.Second).Add(verifyWithin), WithWelcome: withWelcome,
	}, err
}

// origin is the address and browser of the customer, or of the caller where they are not given.
func (p proof) origin(c *Call) (ip, agent string, err error) {
	ip, agent = c.SourceIP, c.Header["user-agent"]
	agent = agent[:min(len(agent), 512)]
	if err := errors.Join(given("ipAddress", &ip, p.IPAddress), given("userAgent", &agent, p.UserAgent)); err != nil {
		return "", "", err
	}
	if len(ip) > 45 || len(agent) > 512 {
		return "", "", fault.New(fault.Invalid, "too-long", "ipAddress has at most 45 and userAgent at most 512 bytes")
	}
	return ip, agent, nil
}
