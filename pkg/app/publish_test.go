package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/lambdaio"
)

// ids are the ids of published events, in order.
func ids(t *testing.T, entries []Entry) []string {
	t.Helper()
	var list []string
	for _, e := range entries {
		var p lambdaio.Published
		if err := json.Unmarshal(e.Detail, &p); err != nil {
			t.Fatal(err)
		}
		list = append(list, p.ID)
	}
	return list
}

// published are the events of commits, as often as they are in them.
func eventIDs(commits []eventstore.Commit) []string {
	var list []string
	for _, c := range commits {
		for i := range c.Events {
			list = append(list, c.EventID(i))
		}
	}
	return list
}

// history25 appends 25 events or so of several customers.
func (w *world) history25() []eventstore.Commit {
	w.t.Helper()
	for i := range 5 {
		id := w.register(fmt.Sprintf(`{"email":"publish-%d@mail.example","marketingConsent":true,"termsAccepted":true}`, i))
		w.patch(id, `{"firstName":"Ada","phone":"+44 1"}`).expect(200)
	}
	return w.commits()
}

func TestB03_OnlyFailedEntriesAreResent(t *testing.T) {
	w := begin(t)
	commits := w.history25()
	all := eventIDs(commits)
	w.bus.refuse = func(call int, e Entry) bool { // the third of each of the first calls
		return call <= 3 && ids(t, []Entry{e})[0] == ids(t, w.bus.calls[call-1][2:3])[0]
	}
	if failed := w.PublishEvents(t.Context(), commits); failed != nil {
		t.Errorf("to deliver again: %v", failed)
	}
	asked := 0
	for _, call := range w.bus.calls {
		if len(call) > publishEntries {
			t.Errorf("%d entries in one call", len(call))
		}
		asked += len(call)
	}
	if asked != len(all)+3 {
		t.Errorf("%d entries are sent for %d events and 3 failures", asked, len(all))
	}
	got := ids(t, w.bus.taken)
	slices.Sort(got)
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Errorf("published %d events, want each of %d once", len(got), len(all))
	}
}

func TestB02_NothingIsLostWhenTheBusFails(t *testing.T) {
	for what, spoil := range map[string]func(w *world){
		"two calls fail whole": func(w *world) {
			w.bus.fail = func(call int) error {
				if call <= 2 {
					return errors.New("throttled")
				}
				return nil
			}
		},
		"one entry fails for good": func(w *world) {
			stubborn := eventIDs(w.commits())[7]
			w.bus.refuse = func(_ int, e Entry) bool { return strings.Contains(string(e.Detail), stubborn) }
		},
		"everything fails for good": func(w *world) { w.bus.fail = func(int) error { return errors.New("down") } },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			commits := w.history25()
			spoil(w)
			failed := w.PublishEvents(t.Context(), commits)
			if len(failed) > 1 {
				t.Fatalf("to deliver again from %v", failed)
			}
			// What was not taken lies at or behind the place where the stream resumes.
			behind := map[string]bool{}
			if len(failed) == 1 {
				for _, id := range eventIDs(commits[failed[0]:]) {
					behind[id] = true
				}
			}
			taken := ids(t, w.bus.taken)
			for _, id := range eventIDs(commits) {
				if !slices.Contains(taken, id) && !behind[id] {
					t.Errorf("event %s is lost", id)
				}
			}
			w.bus.refuse, w.bus.fail = nil, nil
			if len(failed) == 1 {
				if again := w.PublishEvents(t.Context(), commits[failed[0]:]); again != nil {
					t.Errorf("to deliver again: %v", again)
				}
			}
			for _, id := range eventIDs(commits) {
				if !slices.Contains(ids(t, w.bus.taken), id) {
					t.Errorf("event %s is lost", id)
				}
			}
		})
	}
}

// TestD2_WhatIsTooLargeForTheBus is published all the same, and refers to the store. A record that is none does not hold up the others.
func TestD2_WhatIsTooLargeForTheBus(t *testing.T) {
	w := begin(t)
	commits := w.history25()
	all := eventIDs(commits)
	commits[2].Events[0].Data = json.RawMessage(`{"half":`)
	commits[3].Events[0].Data = json.RawMessage(`{"a":"` + strings.Repeat("x", publishBytes) + `"}`)
	if failed := w.PublishEvents(t.Context(), commits); failed != nil {
		t.Errorf("to deliver again: %v", failed)
	}
	if n := len(w.bus.taken); n != len(all)-1 {
		t.Errorf("%d events are published, want all but 1 of %d", n, len(all))
	}
	omitted := 0
	for _, entry := range w.bus.taken {
		var p lambdaio.Published
		if err := json.Unmarshal(entry.Detail, &p); err != nil || entrySize(entry) > publishBytes {
			t.Errorf("%d bytes: %v", entrySize(entry), err)
		}
		if p.Omitted {
			omitted++
		}
	}
	if omitted != 1 {
		t.Errorf("%d events refer to the store, want 1", omitted)
	}
}

// personal is everything personal in the story below.
var personal = []string{
	"ada.lovelace@mail.example", "augusta@mail.example", "Ada-Given", "Lovelace-Family", "Augusta-Given", "King-Family", "+44 20 7946 0018", "+44 20 7946 0019",
	"12 St James", "Square-Line", "Ockham-City", "SW1Y-Code", "1915-12-10", "203.0.113.77", "203.0.113.78", "2001:db8::77", "Firefox-Agent", "Opera-Agent",
	"by telephone, Mrs", "red shoes size", "shop.example/orders/secret", "secret referrer", "My Account of", "secret-attribute", "secret-trait", "Called Support",
	"secret-property", "Analytical Engines", "en-SECRET", "Europe/London",
}

// personalStory sets every personal field there is.
func (w *world) personalStory() (id string) {
	w.t.Helper()
	id = w.register(`{"email":"ada.lovelace@mail.example","firstName":"Ada-Given","lastName":"Lovelace-Family","phone":"+44 20 7946 0018","marketingConsent":true,"termsAccepted":true,"ipAddress":"203.0.113.77","userAgent":"Firefox-Agent"}`)
	w.patch(id, `{"firstName":"Augusta-Given","lastName":"King-Family","phone":"+44 20 7946 0019","dateOfBirth":"1915-12-10","address":{"line1":"12 St James","line2":"Square-Line","city":"Ockham-City","postalCode":"SW1Y-Code"},"attributes":{"note":"secret-attribute"}}`).expect(200)
	w.patch(id, `{"address":{"city":"London"}}`).expect(200)
	post := func(handler lambdaio.Handler, method, rest, body string) {
		w.t.Helper()
		if a := w.call(handler, method, "/v1/customers/{id}"+rest, "/v1/customers/"+id+rest, body, withKey); a.status >= 300 {
			w.t.Fatalf("%s answers %d %s", a.call, a.status, a.body)
		}
	}
	post(ChangeEmail(w.App), "PUT", "/email", `{"email":"augusta@mail.example","ipAddress":"2001:db8::77","userAgent":"Opera-Agent"}`)
	post(GrantConsent(w.App), "POST", "/consents", `{"purpose":"marketing","channel":"sms","ipAddress":"203.0.113.78","userAgent":"Opera-Agent"}`)
	post(SetPreferences(w.App), "PUT", "/preferences", `{"timezone":"Europe/Istanbul"}`)
	context := `"context":{"ip":"203.0.113.78","userAgent":"Opera-Agent","locale":"en-SECRET","timezone":"Europe/London","page":{"url":"https://shop.example/orders/secret","referrer":"https://secret referrer"}}`
	for kind, rest := range map[string]string{
		"identify": `"anonymousId":"visitor-1","traits":{"phone":"+44 20 7946 0018","note":"secret-trait"}`,
		"page":     `"name":"My Account of","category":"secret-property","properties":{"url":"https://shop.example/orders/secret","title":"My Account of","x":"secret-property"}`,
		"screen":   `"name":"My Account of","properties":{"x":"secret-property"}`,
		"track":    `"event":"Called Support","properties":{"x":"secret-property"}`,
		"group":    `"groupId":"Analytical Engines","traits":{"name":"Analytical Engines"}`,
		"alias":    `"previousId":"ada.lovelace@mail.example"`,
	} {
		w.sends("server", kind, `{"userId":"`+id+`",`+rest+`,`+context+`}`).expect(200)
	}
	w.sends("server", "track", `{"userId":"`+id+`","event":"Products Searched","properties":{"query":"red shoes size"},`+context+`}`).expect(200)
	w.sends("browser", "page", `{"anonymousId":"visitor-1","name":"My Account of",`+context+`}`).expect(200)
	w.sends("browser", "identify", `{"anonymousId":"visitor-1","traits":{"email":"ada.lovelace@mail.example","note":"secret-trait"},`+context+`}`).expect(200)
	w.sends("server", "identify", `{"anonymousId":"visitor-1","traits":{"email":"ada.lovelace@mail.example","note":"secret-trait"}}`).expect(200)
	w.sends("server", "identify", `{"userId":"ada.lovelace@mail.example","traits":{"firstName":"Ada-Given"}}`).expect(200)
	post(DeactivateCustomer(w.App), "POST", "/deactivation", `{"notes":"by telephone, Mrs King-Family"}`)
	return id
}

func TestNothingPersonalOnTheBusOrInTheLog(t *testing.T) {
	w := begin(t)
	w.personalStory()
	commits := w.commits()
	if failed := w.PublishEvents(t.Context(), commits); failed != nil {
		t.Fatal(failed)
	}
	seen := map[string]bool{}
	for _, e := range w.bus.taken {
		seen[e.Type] = true
		for _, secret := range personal {
			if strings.Contains(e.Type+string(e.Detail), secret) {
				t.Errorf("%q is on the bus: %s", secret, e.Detail)
			}
		}
	}
	for _, eventType := range []string{
		"CustomerCreated", "EmailVerificationRequested", "CustomerEmailUpdated", "CustomerNameUpdated", "CustomerPhoneUpdated", "CustomerAddressUpdated",
		"CustomerBirthDateUpdated", "CustomerAttributesUpdated", "CustomerDeactivated", "ConsentGranted", "PageViewed", "ScreenViewed", "EventTracked",
		"SearchPerformed", "GroupJoined", "CustomerAliased", "VisitorLinked", "VisitorIdentified",
	} {
		if !seen[eventType] {
			t.Errorf("the story has no %s", eventType)
		}
	}
	// The story is about what it seems to be: with the data key all of it can be read.
	text := ""
	for _, c := range commits {
		opened, err := w.Log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range opened {
			data, err := json.Marshal(e.Data)
			if err != nil {
				t.Fatal(err)
			}
			text += string(data)
		}
	}
	for _, secret := range personal {
		if !strings.Contains(text, secret) {
			t.Errorf("%q is not in the story", secret)
		}
		if strings.Contains(logs.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}
