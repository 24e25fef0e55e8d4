package app

import (
	"context"
	"strconv"
	"time"

	"defter/pkg/consent"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/record"
	"defter/pkg/view"
)

// GrantConsentRequest is the body of POST /v1/customers/{id}/consents.
type GrantConsentRequest struct {
	Purpose       consent.Purpose `json:"purpose" required:"true" enum:"marketing,analytics,essential"`
	Channel       consent.Channel `json:"channel" required:"true" enum:"email,sms,push"`
	ConsentMethod *string         `json:"consentMethod,omitempty" minLength:"1" maxLength:"100" default:"api" description:"how it was given"`
	Renew         bool            `json:"renew,omitempty" description:"prolong a consent that is still active"`
	TextVersion   string          `json:"textVersion,omitempty" maxLength:"100" description:"of the wording that was agreed to, as proof"`
	Language      string          `json:"language,omitempty" maxLength:"35" description:"of the wording, such as tr"`
	proof
}

// ConsentList is a customer's consents.
type ConsentList struct {
	Consents []consent.Current `json:"consents"`
}

// grantConsent records a consent. It answers 201 with all consents.
func (a *App) grantConsent(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	var in GrantConsentRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	method := "api"
	if err := given("consentMethod", &method, in.ConsentMethod); err != nil {
		return lambdaio.Response{}, err
	}
	ip, agent, err := in.origin(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	state, _, err := a.command(ctx, c, stream, 201, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		if err := existing(s); err != nil {
			return nil, nil, err
		}
		if s.Customer.Status == "deactivated" {
			return nil, nil, fault.New(fault.Rejected, "customer-deactivated", "a deactivated customer cannot consent; reactivate first")
		}
		proven := consent.Proof{Method: method, IPAddress: ip, UserAgent: agent, TextVersion: in.TextVersion, Language: in.Language, Controller: a.Settings.DataController}
		if in.Channel == consent.Email {
			hash, err := a.addressHash(ctx, s.Customer.Email)
			if err != nil {
				return nil, nil, err
			}
			proven.AddressHash = hash
		}
		events, err := consent.Decide(s.Consent, consent.Grant{
			Purpose: in.Purpose, Channel: in.Channel, Renew: in.Renew, At: at, Proof: proven,
		})
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 201, Body: ConsentList{state.Consent.List(a.Now())}}, nil
}

// addressHash tells an address, whichever way it is written, without showing it, "" for none.
func (a *App) addressHash(ctx context.Context, address string) (string, error) {
	if address == "" {
		return "", nil
	}
	return a.Keyring.Lookup(ctx, "consent-address", compared(address))
}

// repeatConsents answers a grant again, with the consents as of then.
func (a *App) repeatConsents(ctx context.Context, _ *Call, stream string, version int64, status int) (lambdaio.Response, error) {
	s, at, err := a.recordAt(ctx, stream, version)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return consentsAnswer(s, at, status)
}

func consentsAnswer(s record.State, at time.Time, status int) (lambdaio.Response, error) {
	if err := existing(s); err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: status, Body: ConsentList{s.Consent.List(at)}}, nil
}

// revokeConsent answers DELETE /v1/customers/{id}/consents/{purpose}/{channel} with all consents.
func (a *App) revokeConsent(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	reason := c.Query.Get("reason")
	if reason == "" {
		reason = "customer-request"
	}
	state, _, err := a.command(ctx, c, stream, 200, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		if err := existing(s); err != nil {
			return nil, nil, err
		}
		events, err := consent.Decide(s.Consent, consent.Revoke{
			Purpose: consent.Purpose(c.Params["purpose"]), Channel: consent.Channel(c.Params["channel"]), Reason: reason,
		})
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: ConsentList{state.Consent.List(a.Now())}}, nil
}

// listConsents answers GET /v1/customers/{id}/consents from the store, strongly consistent.
func (a *App) listConsents(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	s := record.Fold.Of(head)
	if err := existing(s); err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: ConsentList{s.Consent.List(a.Now())}}, nil
}

// ConsentedList is a page of the customers who consent.
type ConsentedList struct {
	Customers  []view.Consented `json:"customers"`
	NextCursor string           `json:"nextCursor,omitempty"`
}

// listConsented answers GET /v1/consents?purpose=&channel=.
func (a *App) listConsented(ctx context.Context, c *Call) (lambdaio.Response, error) {
	purpose, channel := consent.Purpose(c.Query.Get("purpose")), consent.Channel(c.Query.Get("channel"))
	if err := consent.Check(purpose, channel); err != nil {
		return lambdaio.Response{}, err
	}
	limit, err := limitOf(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	list, next, err := a.Views.ListConsented(ctx, purpose, channel, a.Now(), c.Query.Get("cursor"), limit)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: ConsentedList{list, next}}, nil
}

func limitOf(c *Call) (int, error) {
	raw := c.Query.Get("limit")
	if raw == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > maxLimit {
		return 0, fault.New(fault.Invalid, "invalid-limit", "limit must be 1 to %d", maxLimit)
	}
	return n, nil
}

func positive(raw, name string) (int64, error) {
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 1 || n > eventstore.MaxVersion {
		return 0, fault.New(fault.Invalid, "invalid-"+name, "%s must be a whole number from 1", name)
	}
	return n, nil
}

func instant(raw, name string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, raw)
	if err != nil {
		return t, fault.New(fault.Invalid, "invalid-"+name, "%s must be a time of the form 2006-01-02T15:04:05Z", name)
	}
	return t, nil
}
