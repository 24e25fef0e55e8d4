package app

import (
	"context"
	"errors"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/source"
	"defter/pkg/webhook"
)

const (
	sourcesFor   = 10 * time.Second // how long a change of a source may go unnoticed by other instances
	unknownAgain = time.Second      // before a key that nobody has makes the sources be read again
	maxAbsent    = 1000             // such keys remembered
	maxOverlap   = 90 * 24 * time.Hour
)

// SourceRequest is the body of POST and PATCH /v1/sources; what is absent stays as it is.
type SourceRequest struct {
	Name              *string   `json:"name,omitempty" maxLength:"100"`
	Kind              *string   `json:"kind,omitempty" enum:"browser,mobile,server,webhook" description:"a browser's and an app's write keys are public: they may not say what was ordered and paid. It cannot be changed"`
	Enabled           *bool     `json:"enabled,omitempty" description:"a disabled source is answered 404; default true"`
	AllowedOrigins    *[]string `json:"allowedOrigins,omitempty" maxItems:"100" description:"of web pages, as https://shop.example.com; empty for any"`
	AllowedEvents     *[]string `json:"allowedEvents,omitempty" maxItems:"100" description:"names of track events; others are quarantined; empty for any"`
	UnknownEvents     *string   `json:"unknownEvents,omitempty" enum:"accept,quarantine" description:"track events that are none of the e-commerce specification; default accept"`
	AnalyticsConsent  *string   `json:"analyticsConsent,omitempty" enum:"assumed,required" description:"whether behaviour is kept of customers who were not asked; default assumed. Of those who refused it is never kept"`
	RequestsPerSecond *int64    `json:"requestsPerSecond,omitempty" minimum:"1" maximum:"10000" description:"default 1000"`
	// Of a page's or an app's source.
	MessagesPerRequest *int64 `json:"messagesPerRequest,omitempty" minimum:"0" maximum:"2500" description:"of a browser or mobile source; 0 for the default, 100 of a browser and 500 of an app. A larger request is answered 413"`
	MessagesPerMinute  *int64 `json:"messagesPerMinute,omitempty" minimum:"0" maximum:"6000000" description:"of a browser or mobile source; 0 for the default, 30000. Beyond it requests are answered 429"`
	NewPeoplePerMinute *int64 `json:"newPeoplePerMinute,omitempty" minimum:"0" maximum:"6000000" description:"customers and visitors whom a browser or mobile source may be the first to tell of; 0 for the default, 1500. Beyond it requests are answered 429"`

	Webhook *WebhookRequest `json:"webhook,omitempty" description:"of a source of kind webhook: how deliveries are signed and what they mean"`
}

// WebhookRequest is how another service's deliveries are checked and understood.
type WebhookRequest struct {
	Signature string        `json:"signature" required:"true" enum:"none,standard,stripe,shopify,sendgrid"`
	Secret    *string       `json:"secret,omitempty" minLength:"16" maxLength:"1000" description:"of 16 bytes or more; of sendgrid its verification key. Absent it stays as it was"`
	Topic     *string       `json:"topic,omitempty" minLength:"1" maxLength:"100" description:"of shopify, required: which topic is delivered to this address, such as orders/paid, since Shopify does not sign that"`
	Livemode  *bool         `json:"livemode,omitempty" default:"true" description:"of stripe and shopify: whether deliveries are of live mode or, false, of test mode; others are quarantined"`
	Account   *string       `json:"account,omitempty" minLength:"1" maxLength:"100" description:"of stripe: which connected account deliveries are of; absent: the account itself. Others are quarantined"`
	Each      *string       `json:"each,omitempty" minLength:"1" maxLength:"200" description:"a JSON path to the elements of a delivery; absent: it is one"`
	Rules     []source.Rule `json:"rules,omitempty" minItems:"1" maxItems:"100" description:"absent: those that the program has for stripe, shopify and sendgrid"`
}

// apply makes a webhook's settings of what is asked for, and of the secret that was.
func (r WebhookRequest) apply(was *source.Webhook) (*source.Webhook, error) {
	next := source.Webhook{Signature: r.Signature, Rules: r.Rules, Test: r.Livemode != nil && !*r.Livemode}
	if was != nil {
		next.Secret = was.Secret
	}
	if r.Rules != nil && len(r.Rules) == 0 {
		return nil, fault.New(fault.Invalid, "invalid-request", "webhook.rules must not be empty: leave them out")
	}
	return &next, errors.Join(
		given("webhook.secret", &next.Secret, r.Secret), given("webhook.topic", &next.Topic, r.Topic), given("webhook.account", &next.Account, r.Account),
		given("webhook.each", &next.Each, r.Each),
	)
}

// RotateRequest is the body of POST /v1/sources/{id}/write-keys.
type RotateRequest struct {
	Overlap string `json:"overlap,omitempty" description:"how long the keys before it still count, such as 24h (the default) or 0s"`
}

// WriteKeyShown is a write key with what a client presents.
type WriteKeyShown struct {
	KeyID     string     `json:"keyId"`
	WriteKey  string     `json:"writeKey"`
	IssuedAt  time.Time  `json:"issuedAt"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
}

// SourceShown is a source as the API shows it.
type SourceShown struct {
	SourceID          string   `json:"sourceId"`
	Name              string   `json:"name"`
	Kind              string   `json:"kind"`
	Trusted           bool     `json:"trusted" description:"may say what was ordered and paid"`
	Enabled           bool     `json:"enabled"`
	AllowedOrigins    []string `json:"allowedOrigins"`
	AllowedEvents     []string `json:"allowedEvents"`
	UnknownEvents     string   `json:"unknownEvents"`
	AnalyticsConsent  string   `json:"analyticsConsent"`
	RequestsPerSecond int64    `json:"requestsPerSecond"`

	MessagesPerRequest int64 `json:"messagesPerRequest"`
	MessagesPerMinute  int64 `json:"messagesPerMinute,omitempty" description:"absent for any number"`
	NewPeoplePerMinute int64 `json:"newPeoplePerMinute,omitempty" description:"absent for any number"`

	Webhook   *WebhookShown   `json:"webhook,omitempty" description:"without its secret"`
	WriteKeys []WriteKeyShown `json:"writeKeys"`
	CreatedAt time.Time       `json:"createdAt"`
}

// WebhookShown is a webhook's settings, with the rules that count.
type WebhookShown struct {
	Signature string        `json:"signature"`
	Topic     string        `json:"topic,omitempty"`
	Livemode  bool          `json:"livemode"`
	Account   string        `json:"account,omitempty"`
	Each      string        `json:"each,omitempty"`
	Rules     []source.Rule `json:"rules"`
	Own       bool          `json:"own" description:"whether the rules are the source's own; else those of the program"`
}

// SourceList is all sources.
type SourceList struct {
	Sources []SourceShown `json:"sources"`
}

func (r SourceRequest) apply(s *source.Settings) error {
	set(&s.Name, r.Name)
	set(&s.Kind, r.Kind)
	set(&s.Enabled, r.Enabled)
	set(&s.AllowedOrigins, r.AllowedOrigins)
	set(&s.AllowedEvents, r.AllowedEvents)
	set(&s.UnknownEvents, r.UnknownEvents)
	set(&s.AnalyticsConsent, r.AnalyticsConsent)
	set(&s.RequestsPerSecond, r.RequestsPerSecond)
	set(&s.MessagesPerRequest, r.MessagesPerRequest)
	set(&s.MessagesPerMinute, r.MessagesPerMinute)
	set(&s.NewPeoplePerMinute, r.NewPeoplePerMinute)
	if r.Webhook != nil {
		next, err := r.Webhook.apply(s.Webhook)
		if err != nil {
			return err
		}
		s.Webhook = next
	}
	if len(s.AllowedOrigins) == 0 {
		s.AllowedOrigins = nil
	}
	if len(s.AllowedEvents) == 0 {
		s.AllowedEvents = nil
	}
	return nil
}

// checked looks at what the domain cannot: whether a webhook's expressions and secret can be read.
func checked(events []any, err error) ([]any, error) {
	for _, event := range events {
		var settings source.Settings
		switch e := event.(type) {
		case source.Created:
			settings = e.Settings
		case source.Changed:
			settings = e.Settings
		}
		if settings.Webhook != nil && err == nil {
			err = webhook.Check(*settings.Webhook)
		}
	}
	return events, err
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// createSource answers POST /v1/sources: 201 with the source and its write key.
func (a *App) createSource(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in SourceRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	settings := source.Settings{Enabled: true, UnknownEvents: source.Accept, AnalyticsConsent: source.Assumed, RequestsPerSecond: source.DefaultRate}
	if err := in.apply(&settings); err != nil {
		return lambdaio.Response{}, err
	}
	id := a.NewID()
	return a.changeSources(ctx, c, id, 201, func(s source.State, _ time.Time) ([]any, error) {
		return checked(source.Create(s, id, a.NewID(), settings))
	})
}

// changeSource answers PATCH /v1/sources/{id} with the source.
func (a *App) changeSource(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in SourceRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	return a.changeSources(ctx, c, c.Params["id"], 200, func(s source.State, _ time.Time) ([]any, error) {
		return checked(source.Change(s, c.Params["id"], in.apply))
	})
}

// issueWriteKey answers POST /v1/sources/{id}/write-keys: 201 with the source, which has one key more.
func (a *App) issueWriteKey(ctx context.Context, c *Call) (lambdaio.Response, error) {
	in := RotateRequest{Overlap: "24h"}
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	overlap, err := time.ParseDuration(in.Overlap)
	if err != nil || overlap < 0 || overlap > maxOverlap {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-duration", "overlap must be a duration of at most %d h, such as 24h", int(maxOverlap.Hours()))
	}
	return a.changeSources(ctx, c, c.Params["id"], 201, func(s source.State, at time.Time) ([]any, error) {
		return source.Rotate(s, c.Params["id"], a.NewID(), at, at.Add(overlap))
	})
}

func (a *App) changeSources(ctx context.Context, c *Call, id string, status int, decide func(s source.State, at time.Time) ([]any, error)) (lambdaio.Response, error) {
	head, err := a.commit(ctx, c, source.Stream, id, status, source.Fold, func(h *eventstore.Head) ([]any, []eventstore.Claim, error) {
		events, err := decide(source.Fold.Of(h), h.Now)
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	a.sources.forget()
	return a.sourceAnswer(ctx, source.Fold.Of(head)[id], status)
}

// repeatSource answers a command on a source again, with the source as it is now: a key that was issued is still that key.
func (a *App) repeatSource(ctx context.Context, _ *Call, id string, _ int64, status int) (lambdaio.Response, error) {
	head, err := a.Log.Load(ctx, source.Stream, source.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.sourceAnswer(ctx, source.Fold.Of(head)[id], status)
}

func (a *App) sourceAnswer(ctx context.Context, s source.Source, status int) (lambdaio.Response, error) {
	shown, err := a.showSource(ctx, s)
	if err != nil {
		return lambdaio.Response{}, err
	}
	response := lambdaio.Response{Status: status, Body: shown}
	if status == 201 {
		response.Header = map[string]string{"location": "/v1/sources/" + s.ID}
	}
	return response, nil
}

// listSources answers GET /v1/sources, with the write keys.
func (a *App) listSources(ctx context.Context, _ *Call) (lambdaio.Response, error) {
	head, err := a.Log.Load(ctx, source.Stream, source.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	list := SourceList{Sources: []SourceShown{}}
	for _, s := range source.Fold.Of(head).List() {
		shown, err := a.showSource(ctx, s)
		if err != nil {
			return lambdaio.Response{}, err
		}
		list.Sources = append(list.Sources, shown)
	}
	return lambdaio.Response{Status: 200, Body: list}, nil
}

func (a *App) showSource(ctx context.Context, s source.Source) (SourceShown, error) {
	shown := SourceShown{
		SourceID: s.ID, Name: s.Settings.Name, Kind: s.Settings.Kind, Trusted: s.Settings.Trusted(), Enabled: s.Settings.Enabled,
		AllowedOrigins: append([]string{}, s.Settings.AllowedOrigins...), AllowedEvents: append([]string{}, s.Settings.AllowedEvents...),
		UnknownEvents: s.Settings.UnknownEvents, AnalyticsConsent: s.Settings.AnalyticsConsent, RequestsPerSecond: s.Settings.RequestsPerSecond,
		WriteKeys: []WriteKeyShown{}, CreatedAt: s.CreatedAt,
	}
	shown.MessagesPerRequest, shown.MessagesPerMinute, shown.NewPeoplePerMinute = s.Settings.Budget()
	if s.Settings.Webhook != nil {
		w := *s.Settings.Webhook
		open := WebhookShown{Signature: w.Signature, Topic: w.Topic, Livemode: !w.Test, Account: w.Account, Own: len(w.Rules) > 0}
		open.Each, open.Rules = webhook.Rules(w)
		shown.Webhook = &open
	}
	for _, k := range s.Keys {
		if !k.ValidAt(a.Now()) {
			continue
		}
		key, err := a.writeKeyOf(ctx, s.ID, k.ID)
		if err != nil {
			return shown, err
		}
		shown.WriteKeys = append(shown.WriteKeys, WriteKeyShown{KeyID: k.ID, WriteKey: key, IssuedAt: k.IssuedAt, ExpiresAt: k.ExpiresAt})
	}
	return shown, nil
}
