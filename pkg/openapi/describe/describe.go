// Package describe makes the OpenAPI 3.1 description of the API from the topology's routes and the handlers' Go types. It
// is used to generate, and is not part of any function.
package describe

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"defter/pkg/app"
	"defter/pkg/lambdaio"
	"defter/pkg/openapi"
	"defter/pkg/topology"
	"defter/pkg/view"

	openapigo "github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"
)

type customerPath struct {
	ID string `path:"id" description:"the customer's id, as answered on registration or as the SDKs' userId"`
}

type visitorPath struct {
	ID string `path:"id" description:"the visitor's id, as the SDKs' anonymousId"`
}

type idempotent struct {
	Key string `header:"Idempotency-Key" maxLength:"255" description:"for 24 hours the same key and request are done once, and answered alike; another request with the key is refused"`
}

type paged struct {
	Cursor string `query:"cursor" description:"nextCursor of the answer before; empty or absent for the first page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

type sourcePath struct {
	ID string `path:"id" description:"the source's id"`
}

type orderPath struct {
	ID string `path:"id" description:"the order's id"`
}

type productPath struct {
	ID string `path:"id" description:"the product's id"`
}

type quarantinePath struct {
	ID string `path:"id" description:"the message's id in the list"`
}

type typePath struct {
	Type string `path:"type" enum:"identify,track,page,screen,group,alias"`
}

type queryKey struct {
	WriteKey string `query:"writeKey" description:"where no header can be set"`
}

type pixel struct {
	queryKey
	AnonymousID string `query:"anonymousId"`
	UserID      string `query:"userId"`
	Event       string `query:"event" description:"of a track; members of properties and context are given as properties.name"`
	Data        string `query:"data" description:"the whole message instead, base64 of its JSON"`
}

type operation struct {
	status int
	in     []any
	out    any
}

// operations describes every route: what it takes and what it answers.
var operations = map[string]operation{
	"POST /v1/customers": {201, []any{app.RegisterRequest{}}, view.Customer{}},
	"GET /v1/customers": {200, []any{struct {
		Email string `query:"email" required:"true"`
	}{}}, view.Customer{}},
	"GET /v1/customers/{id}": {200, []any{struct {
		customerPath
		Version int64     `query:"version" minimum:"1" description:"as of this version; within a summary, as of before it"`
		AsOf    time.Time `query:"asOf" description:"as recorded by this time; what is summarised counts from the last of its events"`
	}{}}, view.Customer{}},
	"PATCH /v1/customers/{id}":                   {200, []any{customerPath{}, app.ProfilePatch{}}, view.Customer{}},
	"PUT /v1/customers/{id}/email":               {200, []any{customerPath{}, app.ChangeEmailRequest{}}, view.Customer{}},
	"POST /v1/customers/{id}/email-verification": {200, []any{customerPath{}, app.VerifyEmailRequest{}}, view.Customer{}},
	"POST /v1/customers/{id}/deactivation":       {200, []any{customerPath{}, app.DeactivateRequest{}}, view.Customer{}},
	"POST /v1/customers/{id}/reactivation":       {200, []any{customerPath{}}, view.Customer{}},
	"POST /v1/customers/{id}/consents":           {201, []any{customerPath{}, app.GrantConsentRequest{}}, app.ConsentList{}},
	"GET /v1/customers/{id}/consents":            {200, []any{customerPath{}}, app.ConsentList{}},
	"PUT /v1/customers/{id}/preferences":         {200, []any{customerPath{}, app.PreferencesRequest{}}, app.PreferencesAnswer{}},
	"GET /v1/customers/{id}/messages":            {200, []any{customerPath{}, paged{}}, app.MessageList{}},
	"GET /v1/customers/{id}/timeline": {200, []any{struct {
		customerPath
		Language string `header:"Accept-Language" description:"of the texts: tr, or else en, which Content-Language says"`
	}{}, paged{}}, app.TimelineList{}},
	"GET /v1/customers/{id}/audit":    {200, []any{customerPath{}, paged{}}, app.AuditList{}},
	"POST /v1/customers/{id}/erasure": {200, []any{customerPath{}, app.EraseRequest{}}, app.Certificate{}},
	"GET /v1/customers/{id}/erasure":  {200, []any{customerPath{}}, app.Certificate{}},
	"POST /v1/visitors/{id}/erasure":  {200, []any{visitorPath{}, app.EraseRequest{}}, app.Certificate{}},
	"GET /v1/visitors/{id}/erasure":   {200, []any{visitorPath{}}, app.Certificate{}},
	"DELETE /v1/customers/{id}/consents/{purpose}/{channel}": {200, []any{struct {
		customerPath
		Purpose string `path:"purpose" enum:"marketing,analytics,essential"`
		Channel string `path:"channel" enum:"email,sms,push"`
		Reason  string `query:"reason" enum:"customer-request,account-deactivated,unsubscribed,complaint,other" default:"customer-request"`
	}{}}, app.ConsentList{}},
	"GET /v1/customers/{id}/events": {200, []any{struct {
		customerPath
		Types string    `query:"types" description:"event types, separated by commas"`
		From  time.Time `query:"from" description:"that occurred at this time or later"`
		To    time.Time `query:"to" description:"that occurred before this time"`
	}{}, paged{}}, app.EventList{}},
	"GET /v1/consents": {200, []any{struct {
		Purpose string `query:"purpose" required:"true" enum:"marketing,analytics,essential"`
		Channel string `query:"channel" required:"true" enum:"email,sms,push"`
	}{}, paged{}}, app.ConsentedList{}},
	"PUT /v1/products/{id}":              {200, []any{productPath{}, app.ProductRequest{}}, app.ProductShown{}},
	"GET /v1/products/{id}":              {200, []any{productPath{}}, app.ProductShown{}},
	"GET /v1/customers/{id}/identities":  {200, []any{customerPath{}, paged{}}, app.IdentityList{}},
	"POST /v1/customers/{id}/identities": {201, []any{customerPath{}, app.IdentityRequest{}}, app.IdentityList{}},
	"DELETE /v1/customers/{id}/identities/{kind}/{identity}": {200, []any{struct {
		customerPath
		Kind     string `path:"kind" enum:"anonymous,user"`
		Identity string `path:"identity"`
		Reason   string `query:"reason" maxLength:"200"`
	}{}}, app.IdentityList{}},
	"POST /v1/orders":                   {201, []any{app.OrderRequest{}}, app.OrderShown{}},
	"GET /v1/orders/{id}":               {200, []any{orderPath{}}, app.OrderShown{}},
	"GET /v1/customers/{id}/orders":     {200, []any{customerPath{}}, app.OrderList{}},
	"POST /v1/orders/{id}/payment":      {202, []any{orderPath{}, app.PaymentRequest{}}, app.OrderShown{}},
	"POST /v1/orders/{id}/cancellation": {200, []any{orderPath{}, app.CancellationRequest{}}, app.OrderShown{}},
	"POST /v1/orders/{id}/shipment":     {200, []any{orderPath{}, app.ShipmentRequest{}}, app.OrderShown{}},
	"POST /v1/orders/{id}/delivery":     {200, []any{orderPath{}, app.DeliveryRequest{}}, app.OrderShown{}},
	"POST /v1/orders/{id}/refunds":      {202, []any{orderPath{}, app.RefundRequest{}}, app.OrderShown{}},
	"POST /v1/sources":                  {201, []any{app.SourceRequest{}}, app.SourceShown{}},
	"GET /v1/sources":                   {200, nil, app.SourceList{}},
	"PATCH /v1/sources/{id}":            {200, []any{sourcePath{}, app.SourceRequest{}}, app.SourceShown{}},
	"POST /v1/sources/{id}/write-keys":  {201, []any{sourcePath{}, app.RotateRequest{}}, app.SourceShown{}},
	"POST /v1/quarantine/{id}/release":  {200, []any{quarantinePath{}}, app.Released{}},
	"GET /v1/quarantine": {200, []any{struct {
		Source string `query:"source" description:"of this source only"`
		Cursor string `query:"cursor" description:"nextCursor of the answer before; empty or absent for the first page"`
		Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" description:"no more than 50 are answered, and fewer of large ones"`
	}{}}, app.QuarantineList{}},
	"POST /v1/m": {200, []any{map[string]any{}}, success{}},
	"GET /v1/projects/{writeKey}/settings": {200, []any{struct {
		WriteKey string `path:"writeKey"`
	}{}}, map[string]any{}},
	"GET /sourceConfig": {200, []any{queryKey{}}, map[string]any{}},
	"GET /sourceConfig/{rest+}": {200, []any{struct {
		Rest string `path:"rest"`
	}{}, queryKey{}}, map[string]any{}},
	"GET /pixel/v1/track":    {200, []any{pixel{}}, nil},
	"GET /pixel/v1/page":     {200, []any{pixel{}}, nil},
	"POST /beacon/v1/batch":  {200, []any{batch{}, queryKey{}}, success{}},
	"POST /v1/webhook":       {200, []any{queryKey{}, map[string]any{}}, success{}},
	"POST /api/s/{type}":     {200, []any{typePath{}, ingested{}}, success{}},
	"POST /api/s/s2s/{type}": {200, []any{typePath{}, ingested{}}, success{}},
	"POST /v1/merge":         {200, []any{merge{}, idempotent{}}, success{}},
	"GET /healthz":           {200, nil, openapi.Health{}},
	"GET /health":            {200, nil, openapi.Health{}},
	"GET /version":           {200, nil, openapi.Version{}},
	"GET /robots.txt":        {200, nil, ""},
	"GET /openapi.json":      {200, nil, map[string]any{}},
}

// ingested is a message as an SDK sends it.
type ingested struct {
	MessageID   string         `json:"messageId,omitempty" maxLength:"100"`
	UserID      string         `json:"userId,omitempty" maxLength:"256"`
	AnonymousID string         `json:"anonymousId,omitempty" maxLength:"256"`
	PreviousID  string         `json:"previousId,omitempty" maxLength:"256"`
	GroupID     string         `json:"groupId,omitempty" maxLength:"256"`
	Type        string         `json:"type,omitempty" enum:"identify,track,page,screen,group,alias"`
	Event       string         `json:"event,omitempty"`
	Name        string         `json:"name,omitempty"`
	Category    string         `json:"category,omitempty"`
	Properties  map[string]any `json:"properties,omitempty"`
	Traits      map[string]any `json:"traits,omitempty"`
	Context     map[string]any `json:"context,omitempty"`
	Timestamp   time.Time      `json:"timestamp,omitempty"`
	SentAt      time.Time      `json:"sentAt,omitempty"`
	WriteKey    string         `json:"writeKey,omitempty"`
}

type batch struct {
	Batch    []ingested     `json:"batch" required:"true" maxItems:"2500"`
	Context  map[string]any `json:"context,omitempty"`
	SentAt   time.Time      `json:"sentAt,omitempty"`
	WriteKey string         `json:"writeKey,omitempty"`
}

// merge says that two ids are one person's, in the words of RudderStack's API.
type merge struct {
	UserID          string     `json:"userId,omitempty" maxLength:"256"`
	AnonymousID     string     `json:"anonymousId,omitempty" maxLength:"256"`
	MergeProperties []identity `json:"mergeProperties" required:"true" minItems:"2" maxItems:"2" description:"the second becomes an alias of the first, which is a user's"`
	MessageID       string     `json:"messageId,omitempty" maxLength:"100"`
	Timestamp       time.Time  `json:"timestamp,omitempty"`
	WriteKey        string     `json:"writeKey,omitempty"`
}

type identity struct {
	Type  string `json:"type" required:"true" enum:"userId,user_id,anonymousId,anonymous_id"`
	Value string `json:"value" required:"true" maxLength:"256"`
}

type success struct {
	Success bool `json:"success"`
}

// JSON returns the description.
func JSON() ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.Title, r.Spec.Info.Version = "Defter", "1"
	r.Spec.Info.WithDescription("One immutable record of each customer. Errors are application/problem+json with a stable type.")
	r.Spec.SetHTTPBearerTokenSecurity("apiKey", "", "an API key")
	r.Spec.SetHTTPBasicSecurity("writeKey", "a write key as the user name, without a password")
	for _, f := range topology.Functions {
		for _, route := range f.Routes {
			if route.Path == topology.Anywhere { // whatever fits no other route
				continue
			}
			if err := add(r, f, route); err != nil {
				return nil, fmt.Errorf("describe %s %s: %w", route.Method, route.Path, err)
			}
		}
	}
	for name, schema := range r.Spec.Components.Schemas {
		if strings.HasPrefix(name, "App") && strings.HasSuffix(name, "Request") { // unknown fields are refused
			schema["additionalProperties"] = false
		}
	}
	raw, err := json.MarshalIndent(r.Spec, "", "  ")
	return append(raw, '\n'), err
}

// Template is a route's path as OpenAPI writes it, which has no word for the rest of a path.
func Template(path string) string { return strings.Replace(path, "+}", "}", 1) }

func add(r *openapi31.Reflector, f topology.Function, route topology.Route) error {
	op, known := operations[route.Method+" "+route.Path]
	switch {
	case known:
	case route.Path == "/v1/batch" || route.Path == "/v1/b" || route.Path == "/v1/import" || route.Path == "/internal/v1/replay":
		op = operation{200, []any{batch{}, idempotent{}}, success{}}
	case route.Auth == topology.WriteKey:
		op = operation{200, []any{ingested{}, idempotent{}}, success{}}
	default:
		return fmt.Errorf("the route is not described")
	}
	c, err := r.NewOperationContext(route.Method, Template(route.Path))
	if err != nil {
		return err
	}
	c.SetSummary(f.Summary)
	for _, in := range op.in {
		c.AddReqStructure(in)
	}
	if route.Auth == topology.APIKey && route.Method != "GET" {
		c.AddReqStructure(idempotent{})
	}
	answer := []openapigo.ContentOption{openapigo.WithHTTPStatus(op.status)}
	if route.Path == "/robots.txt" {
		answer = append(answer, openapigo.WithContentType("text/plain"))
	}
	if strings.HasPrefix(route.Path, "/pixel/") {
		answer = append(answer, openapigo.WithContentType("image/gif"))
		op.out = ""
	}
	c.AddRespStructure(op.out, answer...)
	errors := []int{400, 401, 404, 409, 429, 500, 503}
	switch route.Auth {
	case topology.APIKey:
		c.AddSecurity("apiKey")
		errors = []int{400, 401, 404, 409, 413, 422, 429, 500, 503}
	case topology.WriteKey:
		c.AddSecurity("writeKey")
		errors = []int{400, 401, 404, 409, 413, 415, 429, 500, 503}
	}
	for _, status := range errors {
		c.AddRespStructure(lambdaio.Problem{}, openapigo.WithHTTPStatus(status), openapigo.WithContentType("application/problem+json"))
	}
	return r.AddOperation(c)
}
