package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/identity"
	"defter/pkg/lambdaio"
	"defter/pkg/record"
	"defter/pkg/view"
)

// EraseRequest is the body of POST /v1/customers/{id}/erasure.
type EraseRequest struct {
	Reason string `json:"reason,omitempty" enum:"gdpr-request,data-retention-policy" default:"gdpr-request"`
}

// Certificate shows that a customer was erased. It names nothing but the id that the business used.
type Certificate struct {
	CertificateID string    `json:"certificateId"`
	CustomerID    string    `json:"customerId"`
	Reason        string    `json:"reason"`
	DeletionType  string    `json:"deletionType" enum:"anonymize"`
	RequestedAt   time.Time `json:"requestedAt"`
	CompletedAt   time.Time `json:"completedAt"`
	Systems       []Erased  `json:"systems"`
}

// Erased is what was done in one system.
type Erased struct {
	System string `json:"system"`
	Action string `json:"action"`
	Items  int    `json:"items"`
}

const certificateKey = "CERTIFICATE"

func complianceKey(customerID string) string { return "COMPLIANCE#erasure#" + customerID }

// eraseCustomer erases a customer and whatever turned out to be theirs, visitors and former ids: lookups, views, messages and the data keys. A
// call that was interrupted is made again and goes on where it stopped; one that was completed answers the same
// certificate.
func (a *App) eraseCustomer(ctx context.Context, c *Call) (lambdaio.Response, error) {
	id, err := a.customerID(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	in := EraseRequest{Reason: "gdpr-request"}
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	stream := view.CustomerStream(id)
	if certificate, ok, err := a.certificate(ctx, id); err != nil || ok {
		return lambdaio.Response{Status: 200, Body: certificate}, err
	}
	state, _, err := a.command(ctx, c, stream, 200, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		if s.Customer.Status == customer.StatusErased {
			return nil, nil, nil // all but the certificate was done
		}
		if s.Customer.Exists() && s.Order.MoneyMoves() {
			return nil, nil, fault.New(fault.Rejected, "payment-under-way", "a payment or a refund of this customer is under way: ask again in an hour, so that no money is lost")
		}
		events, err := customer.Decide(s.Customer, customer.RequestDeletion{Reason: in.Reason, DeletionType: "anonymize"})
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	certificate, others, err := a.erasure(ctx, id)
	if err != nil {
		return lambdaio.Response{}, err
	}
	streams := append([]string{stream}, others...)
	if certificate.Systems, err = a.erase(ctx, state.Customer, streams); err != nil {
		return lambdaio.Response{}, fmt.Errorf("erase customer: %w", err)
	}
	if certificate.CompletedAt.IsZero() {
		certificate.CompletedAt = a.Now().UTC()
	}
	for _, s := range streams {
		if err := a.completeErasure(ctx, c, s, certificate); err != nil {
			return lambdaio.Response{}, fmt.Errorf("complete the erasure: %w", err)
		}
	}
	if err := a.Email.Forget(ctx, id); err != nil { // what was on its way meanwhile
		return lambdaio.Response{}, fmt.Errorf("forget messages: %w", err)
	}
	data, err := json.Marshal(certificate)
	if err != nil {
		return lambdaio.Response{}, err
	}
	created, err := a.Views.Table.Create(ctx, view.Row{PK: complianceKey(id), SK: certificateKey, Data: data})
	if err == nil && !created { // it was asked for twice at once
		certificate, _, err = a.certificate(ctx, id)
	}
	return lambdaio.Response{Status: 200, Body: certificate}, err
}

// erasure reads what is known of an erasure under way from the stream itself, which tells it also when the erasure was
// interrupted: the certificate as begun, and the streams of visitors and former ids that are linked and nobody else's.
func (a *App) erasure(ctx context.Context, id string) (certificate Certificate, others []string, err error) {
	certificate = Certificate{CustomerID: id, DeletionType: "anonymize"}
	linked := map[string]bool{}
	var own identity.State // from the events: the record of an erased customer has no claims
	link := func(f view.Facts, linkedNow bool) {
		for _, s := range view.Linked(f) {
			linked[s] = linkedNow && s != view.CustomerStream(id)
		}
	}
	for e, err := range a.Log.Events(ctx, view.CustomerStream(id), 1, 0) {
		if err != nil {
			return certificate, nil, err
		}
		own = identity.Evolve(own, e.Data, e.OccurredAt)
		switch d := e.Data.(type) {
		case customer.VisitorLinked:
			link(view.Facts{Visitors: []string{d.VisitorID}}, true)
		case customer.VisitorUnlinked:
			link(view.Facts{Visitors: []string{d.VisitorID}}, false)
		case customer.Aliased:
			link(view.Facts{Aliases: []string{d.PreviousID}}, true)
		case customer.Unaliased:
			link(view.Facts{Aliases: []string{d.PreviousID}}, false)
		case customer.DeletionRequested:
			certificate.CertificateID, certificate.Reason, certificate.RequestedAt = e.ID, d.Reason, e.RecordedAt
		case customer.DataDeleted:
			certificate.CompletedAt = d.CompletedAt
		}
	}
	owners, err := identity.Follow(id, own, a.claimsOn(ctx))
	if err != nil {
		return certificate, nil, err
	}
	linked[view.CustomerStream(owners.Head)] = false // of a circle it is nobody's
	for _, stream := range slices.Sorted(maps.Keys(linked)) {
		if !linked[stream] {
			continue
		}
		head, err := a.Log.Load(ctx, stream, record.Fold)
		if err != nil {
			return certificate, nil, err
		}
		s := record.Fold.Of(head)
		_, isCustomer := view.CustomerID(stream)
		if owner := s.Identity.Owner(); head.Version > 0 && (owner == id || owner == "" && !isCustomer || erased(s)) {
			others = append(others, stream)
		}
	}
	return certificate, others, nil
}

// repeatCertificate answers an erasure again.
func (a *App) repeatCertificate(ctx context.Context, c *Call, stream string, _ int64, status int) (lambdaio.Response, error) {
	id, _ := view.CustomerID(stream)
	certificate, ok, err := a.certificate(ctx, id)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if !ok { // it was interrupted: go on
		again := *c
		again.key = "" // claimed already
		return a.eraseCustomer(ctx, &again)
	}
	return lambdaio.Response{Status: status, Body: certificate}, nil
}

func (a *App) certificate(ctx context.Context, id string) (Certificate, bool, error) {
	var certificate Certificate
	row, ok, err := a.Views.Table.Get(ctx, complianceKey(id), certificateKey)
	if err != nil || !ok {
		return certificate, false, err
	}
	if err := json.Unmarshal(row.Data, &certificate); err != nil {
		return certificate, false, fmt.Errorf("decode certificate: %w", err)
	}
	return certificate, true, nil
}

// erase removes everything that is derived, and the keys last: without them the rest could not be found any more.
func (a *App) erase(ctx context.Context, s customer.State, streams []string) ([]Erased, error) {
	var done []Erased
	rows, lookups, emails := 0, 0, 0
	for i, st := range streams {
		other, isCustomer := view.CustomerID(st)
		if i > 0 {
			head, err := a.Log.Load(ctx, st, record.Fold)
			if err != nil {
				return nil, err
			}
			s = record.Fold.Of(head).Customer
		}
		if s.Email != "" {
			key, err := a.emailKey(ctx, s.Email)
			if err != nil {
				return nil, err
			}
			if err := a.Log.Store.Unclaim(ctx, key, st); err != nil {
				return nil, err
			}
			emails++
		}
		if isCustomer {
			n, err := a.Views.RemoveConsents(ctx, st)
			if err != nil {
				return nil, err
			}
			lookups += n
			if err := a.Email.Forget(ctx, other); err != nil {
				return nil, err
			}
		}
		hints, err := a.Views.Hints(ctx, st)
		if err != nil {
			return nil, err
		}
		if err := a.Views.Table.Delete(ctx, hints...); err != nil {
			return nil, err
		}
		keys, err := a.Views.Table.Keys(ctx, st, "")
		if err != nil {
			return nil, err
		}
		rows += len(keys)
		kept := keys[:0]
		for _, k := range keys {
			switch {
			case k[1] == view.Profiles.Name: // with the lookup of behaviour to be archived
				if err := a.Views.RemoveProfile(ctx, st); err != nil {
					return nil, err
				}
			case k[1] == view.Consents.Name, strings.HasPrefix(k[1], "AUDIT#"): // the trail holds nothing personal
				rows--
			default:
				kept = append(kept, k)
			}
		}
		if err := a.Views.Table.Delete(ctx, kept...); err != nil {
			return nil, err
		}
	}
	if emails > 0 {
		done = append(done, Erased{"lookup by email", "removed", emails})
	}
	done = append(done, Erased{"lookups by consent", "removed", lookups}, Erased{"views and messages", "removed", rows})
	for _, st := range streams {
		if err := errors.Join(a.Log.Store.DropSnapshots(ctx, st, record.Fold.Name, "seen"), a.Keyring.Destroy(ctx, st)); err != nil {
			return nil, err
		}
		a.Log.Cache.Forget(st)
	}
	return append(done, Erased{"data keys", "destroyed", len(streams)}), nil
}

func (a *App) completeErasure(ctx context.Context, c *Call, stream string, certificate Certificate) error {
	_, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true,
		Meta: eventstore.Meta{Actor: c.Actor, Source: "api", CorrelationID: correlation(c)},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			s := record.Fold.Of(h).Customer
			if s.Status == customer.StatusErased || h.Version == 0 {
				return eventstore.Decision{}, nil
			}
			return eventstore.Decision{Events: eventstore.Happened(customer.DataDeleted{
				DeletionType: certificate.DeletionType, CompletedAt: certificate.CompletedAt, CertificateID: certificate.CertificateID,
			})}, nil
		},
	})
	return err
}
