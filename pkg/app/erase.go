package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/record"
	"defter/pkg/view"
)

// EraseRequest is the body of POST …/erasure.
type EraseRequest struct {
	Reason string `json:"reason,omitempty" enum:"gdpr-request,data-retention-policy" default:"gdpr-request"`
}

// Certificate says how far an erasure has come, system by system; of a completed one it is the proof. It names nothing but the id that the
// business used.
type Certificate struct {
	CertificateID string    `json:"certificateId"`
	CustomerID    string    `json:"customerId,omitempty" description:"of an erased customer"`
	VisitorID     string    `json:"visitorId,omitempty" description:"of an erased visitor"`
	Status        string    `json:"status" enum:"under-way,completed"`
	Reason        string    `json:"reason"`
	DeletionType  string    `json:"deletionType" enum:"anonymize"`
	RequestedAt   time.Time `json:"requestedAt"`
	CompletedAt   time.Time `json:"completedAt,omitzero"`
	Systems       []Erased  `json:"systems"`
}

// Erased is what was done in one system, or is to be done.
type Erased struct {
	System      string    `json:"system"`
	Action      string    `json:"action"`
	Status      string    `json:"status" enum:"pending,under-way,done"`
	Items       int       `json:"items"`
	CompletedAt time.Time `json:"completedAt,omitzero"`
}

// The states of an erasure and of a system in it.
const (
	erasurePending   = "pending"
	erasureUnderWay  = "under-way"
	erasureDone      = "done"
	erasureCompleted = "completed"
)

const (
	// The request that asks for an erasure does as much of it as fits. Most customers are erased before it is answered.
	erasureInline = 5 * time.Second
	// The machine begins when the request has had its time, so that the two do not do the same work.
	erasureGrace = 10 * time.Second

	erasureActor = "system:run-erasure-step"
)

// eraseSubject answers POST /v1/customers/{id}/erasure and POST /v1/visitors/{id}/erasure: from now on nothing is taken of
// them any more, and everything personal is removed step by step. A call that was interrupted may be made again; a completed
// erasure answers the same certificate.
func (a *App) eraseSubject(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.subject(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	in := EraseRequest{Reason: "gdpr-request"}
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	if certificate, ok, err := a.certificate(ctx, stream); err != nil || ok {
		return lambdaio.Response{Status: 200, Body: certificate}, err
	}
	_, _, err = a.command(ctx, c, stream, 200, func(s record.State, _ time.Time) ([]any, []eventstore.Claim, error) {
		events, err := requestErasure(stream, s, in.Reason)
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.erasureAnswer(ctx, stream)
}

// requestErasure decides whether a stream may be erased.
func requestErasure(stream string, s record.State, reason string) ([]any, error) {
	if s.Customer.Status == customer.StatusErased {
		return nil, nil // all but the certificate was done
	}
	if !erased(s) && s.Order.MoneyMoves() {
		return nil, fault.New(fault.Rejected, "payment-under-way", "a payment or a refund of this customer is under way: ask again in an hour, so that no money is lost")
	}
	_, isCustomer := view.CustomerID(stream)
	switch {
	case !isCustomer && s.Identity.First == 0 && len(s.Identity.Claims) == 0 && !erased(s):
		return nil, fault.New(fault.NotFound, "visitor-not-found", "there is no such visitor")
	case !isCustomer && s.Identity.Owner() != "" && !erased(s):
		return nil, fault.New(fault.Rejected, "visitor-is-customer", "this visitor turned out to be a customer: erase the customer, or say first that it is somebody else")
	case !isCustomer && !erased(s):
		s.Customer.Status = customer.StatusActive // visitors are never registered
	}
	return customer.Decide(s.Customer, customer.RequestDeletion{Reason: reason, DeletionType: "anonymize"})
}

// erasureAnswer goes on with an erasure as far as the request's time allows, and says how far it has come.
func (a *App) erasureAnswer(ctx context.Context, stream string) (lambdaio.Response, error) {
	if err := a.beginErasure(ctx, stream); err != nil {
		return lambdaio.Response{}, err
	}
	if _, err := a.goOnErasing(ctx, stream, erasureInline); err != nil {
		return lambdaio.Response{}, fmt.Errorf("erase: %w", err)
	}
	return a.erasureShown(ctx, stream, 202)
}

// repeatErasure answers an erasure again.
func (a *App) repeatErasure(ctx context.Context, _ *Call, stream string, _ int64, _ int) (lambdaio.Response, error) {
	return a.erasureAnswer(ctx, stream)
}

// getErasure answers GET …/erasure.
func (a *App) getErasure(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.subject(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.erasureShown(ctx, stream, 200)
}

// erasureShown is the certificate, or else how far the erasure has come, with the status for that.
func (a *App) erasureShown(ctx context.Context, stream string, underWay int) (lambdaio.Response, error) {
	if certificate, ok, err := a.certificate(ctx, stream); err != nil || ok {
		return lambdaio.Response{Status: 200, Body: certificate}, err
	}
	e, ok, err := a.loadErasure(ctx, stream)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if ok {
		return lambdaio.Response{Status: underWay, Body: e.Certificate}, nil
	}
	if certificate, ok, err := a.certificate(ctx, stream); err != nil || ok { // completed meanwhile
		return lambdaio.Response{Status: 200, Body: certificate}, err
	}
	head, err := a.Log.Load(ctx, stream)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if _, isCustomer := view.CustomerID(stream); isCustomer && head.Version == 0 {
		return lambdaio.Response{}, existing(record.State{})
	}
	return lambdaio.Response{}, fault.New(fault.NotFound, "no-erasure", "nobody asked for this erasure")
}

// subject is the stream of whom a call is about: a customer's or a visitor's.
func (a *App) subject(ctx context.Context, c *Call) (string, error) {
	id, err := a.customerID(ctx, c)
	if err != nil {
		return "", err
	}
	if strings.Contains(c.Route, "/v1/visitors/") {
		return view.VisitorStream(id), nil
	}
	return view.CustomerStream(id), nil
}

func complianceKey(stream string) string {
	if id, ok := view.CustomerID(stream); ok {
		return "COMPLIANCE#erasure#" + id
	}
	return "COMPLIANCE#erasure#" + stream
}

const certificateKey = "CERTIFICATE"

func (a *App) certificate(ctx context.Context, stream string) (Certificate, bool, error) {
	var certificate Certificate
	row, ok, err := a.Views.Table.Get(ctx, complianceKey(stream), certificateKey)
	if err != nil || !ok {
		return certificate, false, err
	}
	if err := json.Unmarshal(row.Data, &certificate); err != nil {
		return certificate, false, fmt.Errorf("decode certificate: %w", err)
	}
	return certificate, true, nil
}

// ErasureRun is what travels through the state machine of erasures: whom it is about. How far it has come is in the erasure's own rows.
type ErasureRun struct {
	Stream   string `json:"stream"`
	Failures int    `json:"failures,omitempty"` // of the step, one after the other
	Until    string `json:"until"`
	Done     bool   `json:"done"`
}

// TriggerErasures starts the run of an erasure that was asked for, once however often the event is delivered. So it is finished
// whatever becomes of the request.
func (a *App) TriggerErasures(ctx context.Context, e eventstore.Event) error {
	if _, asked := e.Data.(customer.DeletionRequested); !asked || e.Actor == erasureActor { // of a former id: it is part of the other erasure
		return nil
	}
	input, err := json.Marshal(ErasureRun{Stream: e.Stream, Until: e.RecordedAt.Add(erasureGrace).UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	return a.Erasures.Start(ctx, e.ID, input)
}
