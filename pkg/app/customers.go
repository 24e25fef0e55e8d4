package app

import (
	"context"
	"errors"
	"time"

	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
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
