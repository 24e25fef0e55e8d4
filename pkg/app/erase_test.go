package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/view"
)

var keyed = map[string]string{"authorization": "Bearer key", "idempotency-key": "erase-once"}

// failing fails the n-th call from now on, once.
func failing(n int) func() error {
	return func() error {
		if n--; n == 0 {
			return errors.New("interrupted")
		}
		return nil
	}
}

// An erasure that is interrupted anywhere is asked for again, and goes on to the same end.
func TestInterruptedErasure(t *testing.T) {
	t.Parallel()
	for _, header := range []map[string]string{withKey, keyed} {
		for n := 1; n <= 2; n++ {
			w := begin(t)
			id := w.personalStory()
			w.post.forget = failing(n)
			w.erase(id, header).expect(500)
			w.post.forget = nil
			w = w.another()
			first := w.erase(id, header).expect(200)
			w.expectErased(id, first)
			if again := w.erase(id, header).expect(200); again.body != first.body {
				t.Errorf("asked again: %s, was %s", again.body, first.body)
			}
		}
	}
}

// So it is when the process dies between any two of its calls of the tables.
func TestErasureThatDies(t *testing.T) {
	t.Parallel()
	w := begin(t)
	writes := 0
	for n := 1; ; n++ {
		id := w.personalStory2(n)
		if a := w.process(mortal(w.client, n-1)).erase(id, keyedAs(n)); a.status == 200 {
			writes = n - 1
			break
		}
		first := w.another().erase(id, keyedAs(n)).expect(200)
		w.expectErased(id, first)
		if !strings.Contains(first.body, id) || strings.Contains(first.body, "0001-01-01") {
			t.Errorf("the certificate is %s", first.body)
		}
	}
	if writes < 8 {
		t.Errorf("it died %d times only", writes)
	}
}

func keyedAs(n int) map[string]string {
	return map[string]string{"authorization": "Bearer key", "idempotency-key": fmt.Sprint("erase-", n)}
}

// personalStory2 is a short story of one customer and a visitor of theirs.
func (w *world) personalStory2(n int) (id string) {
	w.t.Helper()
	id = w.register(fmt.Sprintf(`{"email":"grace-%d@mail.example","firstName":"Grace","marketingConsent":true,"termsAccepted":true}`, n))
	w.sends("browser", "page", fmt.Sprintf(`{"anonymousId":"visitor-%d","name":"My Account of Grace"}`, n)).expect(200)
	w.sends("server", "identify", fmt.Sprintf(`{"userId":"%s","anonymousId":"visitor-%d"}`, id, n)).expect(200)
	return id
}

// expectErased reports what is left of a customer.
func (w *world) expectErased(id string, certificate reply) {
	w.t.Helper()
	w = w.another() // a process may use a key that it has for a minute more
	stream := view.CustomerStream(id)
	streams := []string{stream}
	for _, e := range w.history(stream) {
		if visitor, ok := strings.CutPrefix(fmt.Sprintf("%#v", e.Data), `customer.VisitorLinked{VisitorID:"`); ok {
			streams = append(streams, view.VisitorStream(strings.TrimSuffix(visitor, `"}`)))
		}
	}
	if len(streams) < 2 {
		w.t.Errorf("the story has no visitors")
	}
	for _, s := range streams {
		history := w.history(s)
		if len(history) == 0 {
			continue // a visitor who did nothing
		}
		if kinds := kinds(history); kinds[len(kinds)-1] != "CustomerDataDeleted" || slices.Index(kinds, "CustomerDataDeleted") != len(kinds)-1 {
			w.t.Errorf("the history of %s is %v", s, kinds)
		}
		for _, e := range history {
			data, _ := json.Marshal(e.Data)
			for _, secret := range append(personal, "Grace", "grace-") {
				if strings.Contains(string(data), secret) {
					w.t.Errorf("%q can be read of %s %d", secret, s, e.Version)
				}
			}
			if e.Type == "CustomerDataDeleted" && !strings.Contains(string(data), certificate.text("certificateId")) {
				w.t.Errorf("%s ends with %s, the certificate is %s", s, data, certificate.body)
			}
		}
		if _, err := w.Keyring.Seal(w.t.Context(), s, "x", []byte("x")); !errors.Is(err, eventstore.ErrErased) {
			w.t.Errorf("sealing for %s: %v", s, err)
		}
	}
	if !slices.Contains(w.post.forgotten, id) {
		w.t.Error("the provider still knows them")
	}
}

func TestErasingAVisitorLinkedLongAgo(t *testing.T) {
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","termsAccepted":true}`)
	w.sends("browser", "page", `{"anonymousId":"visitor-0","name":"My Account of Ada"}`).expect(200)
	for i := range 60 { // more than a customer's state remembers
		w.sends("server", "identify", fmt.Sprintf(`{"userId":"%s","anonymousId":"visitor-%d"}`, id, i)).expect(200)
	}
	first := w.erase(id, withKey).expect(200)
	w.expectErased(id, first)
	for _, e := range w.another().history(view.VisitorStream("visitor-0")) {
		if !e.Erased && e.Type == "PageViewed" {
			t.Errorf("the visitor's %s can be read", e.Type)
		}
	}
}

func TestErasedTwiceAtOnce(t *testing.T) {
	w := begin(t)
	id := w.personalStory()
	replies := make([]reply, 6)
	atOnce(len(replies), func(i int) { replies[i] = w.another().erase(id, withKey) })
	done := w.erase(id, withKey).expect(200)
	for _, a := range replies {
		if a.status != 200 && a.status != 503 && a.status != 409 || a.status == 200 && a.text("certificateId") != done.text("certificateId") {
			t.Errorf("at once: %d %s, and then %s", a.status, a.body, done.body)
		}
	}
	w.expectErased(id, done)
}

// Between any two calls of an erasure, what happened before is projected. In the end nothing is left of it.
func TestProjectionsBesideAnErasure(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		w := begin(t)
		id := w.register(`{"email":"ada@mail.example","marketingConsent":true,"termsAccepted":true}`)
		happened, delivered := false, int64(0)
		deliver := func() error { // what was not delivered yet
			happened = true
			late := w.another()
			commits := slices.DeleteFunc(late.commits(), func(c eventstore.Commit) bool { return c.First <= delivered })
			if len(commits) > 0 {
				delivered = commits[len(commits)-1].Last()
			}
			for _, c := range late.deliveries(commits, func(n int, _ func(int) bool) []int { return upTo(n) }, func(int) int { return 9 }) {
				if err := c.deliver(); err != nil {
					return err
				}
			}
			return nil
		}
		w.process(interruptedAt(w.client, n, deliver, false)).erase(id, withKey).expect(200)
		if !happened {
			break // there are no more
		}
		if err := deliver(); err != nil {
			t.Fatal(err)
		}
		got := w.rows()
		fresh := *w
		fresh.tables[1] = dynamotest.Table(t, dynamotest.Client(t))
		inPeace := fresh.another()
		if _, err := inPeace.Views.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		inPeace.expectRows(got, fmt.Sprint("with projections before call ", n, " and rebuilt"))
		for key := range got {
			if strings.HasPrefix(key, "CONSENTED#") || strings.HasPrefix(key, "DUE#") {
				t.Errorf("left: %s", key)
			}
		}
	}
}
