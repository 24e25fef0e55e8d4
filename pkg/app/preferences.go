package app

import (
	"context"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/lambdaio"
	"defter/pkg/preference"
	"defter/pkg/record"
)

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
