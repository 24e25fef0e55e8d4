package view

import (
	"context"
	"errors"
	"iter"
	"testing"

	"defter/pkg/activity"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
)

// dying is a store whose reader's time is up after so many commits.
type dying struct {
	eventstore.Store
	left int
}

var errTimeIsUp = errors.New("time is up")

func (d *dying) Read(ctx context.Context, stream string, from, to int64) iter.Seq2[eventstore.Commit, error] {
	return func(yield func(eventstore.Commit, error) bool) {
		for c, err := range d.Store.Read(ctx, stream, from, to) {
			if d.left--; d.left < 0 {
				yield(eventstore.Commit{}, errTimeIsUp)
				return
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// TestD5_ALongGapIsWorkedOffInPieces: what a projector did of it is kept when its time is up, so that it comes to an end.
func TestD5_ALongGapIsWorkedOffInPieces(t *testing.T) {
	w := begin(t)
	const stream, commits = "CUSTOMER#long", 12
	w.append(stream, customer.Created{Email: "ada@example.com", Source: "web"})
	var last eventstore.Commit
	for range commits {
		seen := make([]any, 700)
		for i := range seen {
			seen[i] = activity.PageViewed{Name: "Home"}
		}
		last = w.append(stream, seen...)
	}
	store := w.Views.Log.Store
	tries := 0
	for version := int64(0); version < last.Last(); tries++ {
		w.Views.Log.Store = &dying{store, 4} // commits of 700: a piece, and the beginning of the next
		failed := w.Views.ProjectActivity(t.Context(), []eventstore.Commit{last})
		w.Views.Log.Store = store
		_, reached, err := Profiles.Load(t.Context(), w.Views, stream)
		if err != nil {
			t.Fatal(err)
		}
		if reached <= version && len(failed) > 0 {
			t.Fatalf("try %d came no further than version %d", tries, version)
		}
		version = reached
	}
	if tries < 2 {
		t.Errorf("done in %d tries: nothing was in the way", tries)
	}
	lines := 0
	for cursor := ""; ; {
		page, next, err := w.Views.Timeline(t.Context(), stream, Profile{}, cursor, 5)
		if err != nil {
			t.Fatal(err)
		}
		if lines += len(page); next == "" {
			break
		}
		cursor = next
	}
	if int64(lines) != last.Last() {
		t.Errorf("%d lines of %d events", lines, last.Last())
	}

	// The same of a row that the bus feeds.
	tries = 0
	for version := int64(0); version < last.Last(); tries++ {
		w.Views.Log.Store = &dying{store, 4}
		events, err := w.Views.Log.Open(t.Context(), last)
		if err == nil {
			err = Consents.Apply(t.Context(), w.Views, stream, events[len(events)-1:])
		}
		w.Views.Log.Store = store
		if err != nil && !errors.Is(err, errTimeIsUp) {
			t.Fatal(err)
		}
		_, reached, err := Consents.Load(t.Context(), w.Views, stream)
		if err != nil || reached <= version {
			t.Fatalf("try %d came to version %d, %v", tries, reached, err)
		}
		version = reached
	}
}

// TestD7_PagesAreBounded: a timeline's page counts commits, of which one may have a thousand lines.
func TestD7_PagesAreBounded(t *testing.T) {
	w := begin(t)
	const stream = "CUSTOMER#wide"
	w.append(stream, customer.Created{Email: "ada@example.com", Source: "web"})
	for range 8 {
		seen := make([]any, 900)
		for i := range seen {
			seen[i] = activity.PageViewed{Name: "Home"}
		}
		c := w.append(stream, seen...)
		if failed := w.Views.ProjectActivity(t.Context(), []eventstore.Commit{c}); len(failed) > 0 {
			t.Fatal("not projected")
		}
	}
	page, next, err := w.Views.Timeline(t.Context(), stream, Profile{}, "", 500)
	if err != nil || next == "" || len(page) > maxLines {
		t.Errorf("a page has %d lines, next %q, %v", len(page), next, err)
	}
	rest, next, err := w.Views.Timeline(t.Context(), stream, Profile{}, next, 500)
	if err != nil || next != "" || len(page)+len(rest) != 8*900+1 {
		t.Errorf("%d and %d lines, next %q, %v", len(page), len(rest), next, err)
	}
}
