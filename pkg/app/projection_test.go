package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/lambdaio"
	"defter/pkg/topology"
	"defter/pkg/view"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"pgregory.net/rapid"
)

// lives lets a few customers and visitors live through random commands.
func (w *world) lives(t *rapid.T) {
	w.t = t
	var ids []string
	register := func(consent bool) {
		ids = append(ids, w.register(fmt.Sprintf(`{"email":"%s@mail.example","firstName":"Ada","marketingConsent":%t,"termsAccepted":true}`, newID(), consent)))
	}
	register(true)
	erased := map[string]bool{}
	purpose := rapid.SampledFrom([]string{"marketing", "analytics"})
	channel := rapid.SampledFrom([]string{"email", "sms"})
	text := rapid.SampledFrom([]string{"", "Ada", "Grace", "Ünal 😀"})
	number := rapid.IntRange(0, 5)
	for range rapid.IntRange(3, 20).Draw(t, "length") {
		id := rapid.SampledFrom(ids).Draw(t, "who")
		post := func(handler lambdaio.Handler, method, route, path, body string) {
			a := w.call(handler, method, "/v1/customers/{id}"+route, "/v1/customers/"+id+path, body, withKey)
			if want := a.status < 300; want == erased[id] {
				t.Fatalf("%s %s answers %d %s", a.call, body, a.status, a.body)
			}
		}
		switch rapid.SampledFrom([]string{
			"register", "patch", "grant", "grant", "revoke", "revoke", "renew", "prefer", "prefer", "deactivate", "reactivate", "verify", "email",
			"track", "track", "order", "identify", "visit", "journey", "wait", "expire", "erase",
		}).Draw(t, "command") {
		case "register":
			register(rapid.Bool().Draw(t, "consent"))
		case "patch":
			post(UpdateProfile(w.App), "PATCH", "", "", fmt.Sprintf(`{"firstName":%q,"phone":%q,"attributes":{"a%d":%d}}`, text.Draw(t, "name"), text.Draw(t, "phone"), number.Draw(t, "a"), number.Draw(t, "b")))
		case "grant", "renew":
			if erased[id] {
				continue
			}
			w.grant(id, fmt.Sprintf(`{"purpose":%q,"channel":%q,"renew":%t}`, purpose.Draw(t, "purpose"), channel.Draw(t, "channel"), rapid.Bool().Draw(t, "renew")))
		case "revoke":
			path := fmt.Sprintf("/consents/%s/%s", purpose.Draw(t, "purpose"), channel.Draw(t, "channel"))
			post(RevokeConsent(w.App), "DELETE", "/consents/{purpose}/{channel}", path, "")
		case "prefer":
			at := w.clock.Now().Add(-time.Duration(number.Draw(t, "hours ago")) * time.Hour).Format(time.RFC3339)
			post(SetPreferences(w.App), "PUT", "/preferences", "/preferences", fmt.Sprintf(`{"emailFrequency":%q,"smsEnabled":%t,"updatedAt":%q}`, rapid.SampledFrom([]string{"daily", "weekly", "never"}).Draw(t, "frequency"), rapid.Bool().Draw(t, "sms"), at))
		case "deactivate":
			post(DeactivateCustomer(w.App), "POST", "/deactivation", "/deactivation", `{"notes":"so be it"}`)
		case "reactivate":
			post(ReactivateCustomer(w.App), "POST", "/reactivation", "/reactivation", "")
		case "verify":
			post(VerifyEmail(w.App), "POST", "/email-verification", "/email-verification", "")
		case "email":
			post(ChangeEmail(w.App), "PUT", "/email", "/email", fmt.Sprintf(`{"email":"%s@mail.example"}`, newID()))
		case "track":
			ago := w.clock.Now().Add(-time.Duration(number.Draw(t, "hours ago")) * time.Hour).Format(time.RFC3339)
			w.sends("server", "track", fmt.Sprintf(`{"userId":%q,"event":"Seen %s","timestamp":%q}`, id, text.Draw(t, "what"), ago)).expect(200)
		case "order":
			order := fmt.Sprintf(`{"order_id":"%s-%d","total":%d.5,"currency":%q}`, id, number.Draw(t, "order"), number.Draw(t, "total"), rapid.SampledFrom([]string{"EUR", "JPY"}).Draw(t, "currency"))
			name := rapid.SampledFrom([]string{"Order Completed", "Order Completed", "Order Cancelled", "Order Refunded"}).Draw(t, "event")
			w.sends("server", "batch", fmt.Sprintf(`{"batch":[{"type":"track","userId":%[1]q,"event":%[2]q,"properties":%[3]s},{"type":"page","userId":%[1]q}]}`, id, name, order)).expect(200)
		case "identify":
			w.sends("server", "identify", fmt.Sprintf(`{"userId":%q,"anonymousId":"v%d","traits":{"lastName":%q,"plan":%d}}`, id, number.Draw(t, "visitor"), text.Draw(t, "name"), number.Draw(t, "plan"))).expect(200)
		case "visit":
			w.sends("browser", "page", fmt.Sprintf(`{"anonymousId":"v%d","name":%q}`, number.Draw(t, "visitor"), text.Draw(t, "page"))).expect(200)
		case "journey":
			for _, e := range w.history(view.CustomerStream(id)) {
				if err := w.TriggerJourneys(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
		case "wait":
			w.clock.advance(time.Duration(1+number.Draw(t, "days")) * 24 * time.Hour)
		case "expire":
			w.clock.advance(twoYears / 2)
			if _, err := w.Views.Rebuild(t.Context()); err != nil { // what expires is found by a view
				t.Fatal(err)
			}
			if err := w.ExpireConsents(t.Context()); err != nil {
				t.Fatal(err)
			}
		case "erase":
			w.erase(id, withKey).expect(200)
			erased[id] = true
		}
	}
}

// projected are the rows that projections have made.
func (w *world) projected() []view.Row {
	w.t.Helper()
	var rows []view.Row
	in := &dynamodb.ScanInput{TableName: &w.tables[1]}
	for {
		out, err := w.client.Scan(context.Background(), in)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, item := range out.Items {
			if row := view.RowOf(item); view.Projected(row) {
				rows = append(rows, row)
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return rows
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// rows are they as text.
func (w *world) rows() map[string]string {
	w.t.Helper()
	rows := map[string]string{}
	for _, row := range w.projected() {
		rows[row.PK+" "+row.SK] = fmt.Sprintf("%d %s %x", row.Version, row.Data, row.Sealed)
	}
	return rows
}

func (w *world) expectRows(want map[string]string, how string) {
	w.t.Helper()
	got := w.rows()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			w.t.Errorf("%s, %s is\n%s, want\n%s", how, key, got[key], want[key])
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			w.t.Errorf("%s, there is %s: %s", how, key, got[key])
		}
	}
}

// consumer is a function that gets single events from the bus.
type consumer struct {
	function lambdaio.Handler
	types    []string
	gaps     bool // what it misses it reads from the store
}

func (w *world) consumers() []consumer {
	return []consumer{
		{ProjectConsent(w.App), topology.ConsentEvents, true},
		{ProjectPreferences(w.App), topology.PreferenceEvents, true},
		{ProjectAudit(w.App), topology.AuditedEvents, false},
	}
}

// delivery is one call of a projection.
type delivery struct {
	what    string
	deliver func() error
}

// deliveries are the calls that bring the views up to date. order says in which order and how often the given number of
// things is delivered, and which of those that may be missed are; the last of each stream never is.
func (w *world) deliveries(commits []eventstore.Commit, order func(n int, mayMiss func(i int) bool) []int, batch func(left int) int) []delivery {
	var calls []delivery
	last := map[string]int{}
	for i, c := range commits {
		last[c.Stream] = i
	}
	for indexes := order(len(commits), func(i int) bool { return last[commits[i].Stream] != i }); len(indexes) > 0; {
		n := min(batch(len(indexes)), len(indexes))
		some := make([]eventstore.Commit, n)
		for i := range some {
			some[i] = commits[indexes[i]]
		}
		calls = append(calls, delivery{"activity", func() error {
			if failed := w.Views.ProjectActivity(context.Background(), some); len(failed) > 0 {
				return fmt.Errorf("activity of %d commits: failed %v", len(some), failed)
			}
			return nil
		}})
		indexes = indexes[n:]
	}
	for _, c := range w.consumers() {
		var payloads [][]byte
		var streams []string
		last := map[string]int{}
		for _, commit := range commits {
			for i, r := range commit.Events {
				if !slices.Contains(c.types, r.Type) {
					continue
				}
				entry, err := published(commit, i, false)
				if err != nil {
					w.t.Fatal(err)
				}
				payload, err := json.Marshal(lambdaevents.EventBridgeEvent{DetailType: entry.Type, Detail: entry.Detail})
				if err != nil {
					w.t.Fatal(err)
				}
				last[commit.Stream] = len(payloads)
				payloads, streams = append(payloads, payload), append(streams, commit.Stream)
			}
		}
		for _, i := range order(len(payloads), func(i int) bool { return c.gaps && last[streams[i]] != i }) {
			calls = append(calls, delivery{string(payloads[i]), func() error {
				_, err := c.function.Invoke(context.Background(), payloads[i])
				return err
			}})
		}
	}
	return calls
}

// expectFolds reports documents that are not the fold of the events up to their version.
func (w *world) expectFolds() {
	w.t.Helper()
	for key := range w.rows() {
		stream, name, _ := strings.Cut(key, " ")
		switch name {
		case view.Profiles.Name:
			expectFold(w, view.Profiles, stream)
		case view.Consents.Name:
			expectFold(w, view.Consents, stream)
		case view.Preferences.Name:
			expectFold(w, view.Preferences, stream)
		}
	}
}

func expectFold[S any](w *world, d *view.Document[S], stream string) {
	w.t.Helper()
	got, version, err := d.Load(context.Background(), w.Views, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	var want S
	for _, e := range w.history(stream)[:version] {
		want = d.Evolve(want, e)
	}
	gone, err := w.Keyring.Destroyed(context.Background(), stream) // then nothing can be sealed any more
	if err != nil {
		w.t.Fatal(err)
	}
	text := func(s S) string {
		open, _ := json.Marshal(s)
		var personal []byte
		if d.Personal != nil && !gone {
			personal, _ = json.Marshal(d.Personal(&s))
		}
		return string(open) + string(personal)
	}
	if text(got) != text(want) {
		w.t.Errorf("%s of %s at version %d is\n%s, the events make\n%s", d.Name, stream, version, text(got), text(want))
	}
}

// Delivered in whatever order, twice or with gaps, alone or in batches: the same rows, to the byte, as when every event
// came once and in order. And whenever one looks, a row is the fold of the events up to its version.
func TestProjectionsDoNotDependOnDelivery(t *testing.T) {
	t.Parallel()
	client := dynamotest.Client(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := begin(t)
		w.lives(rt)
		w = w.another() // nothing in memory that an erased customer has left
		w.t = rt
		commits := w.commits()
		on := func() *world {
			other := *w
			other.tables[1] = dynamotest.Table(t, client)
			return other.another()
		}
		run := func(w *world, calls []delivery) {
			for n, call := range calls {
				if err := call.deliver(); err != nil {
					rt.Fatalf("%s: %v", call.what, err)
				}
				if n%7 == 3 {
					w.expectFolds()
				}
			}
			w.expectFolds()
		}

		inOrder := on()
		one := func(int) int { return 1 }
		run(inOrder, inOrder.deliveries(commits, func(n int, _ func(int) bool) []int { return upTo(n) }, one))
		want := inOrder.rows()

		rebuilt := on()
		if _, err := rebuilt.Views.Rebuild(rt.Context()); err != nil {
			rt.Fatal(err)
		}
		rebuilt.expectRows(want, "rebuilt")
		if _, err := rebuilt.Views.Rebuild(rt.Context()); err != nil {
			rt.Fatal(err)
		}
		rebuilt.expectRows(want, "rebuilt twice")

		halfway := on()
		if failed := halfway.Views.ProjectActivity(rt.Context(), commits[:len(commits)/2]); len(failed) > 0 {
			rt.Fatalf("failed: %v", failed)
		}
		if _, err := halfway.Views.Rebuild(rt.Context()); err != nil {
			rt.Fatal(err)
		}
		halfway.expectRows(want, "rebuilt over half of it")

		anyhow := on()
		calls := anyhow.deliveries(commits, func(n int, mayMiss func(int) bool) []int {
			var indexes []int
			for _, i := range upTo(n) {
				copies := rapid.IntRange(0, 2).Draw(rt, "copies")
				if copies == 0 && !mayMiss(i) {
					copies = 1
				}
				indexes = append(indexes, slices.Repeat([]int{i}, copies)...)
			}
			if len(indexes) == 0 {
				return nil
			}
			return rapid.Permutation(indexes).Draw(rt, "order")
		}, func(left int) int { return rapid.IntRange(1, left).Draw(rt, "batch") })
		run(anyhow, rapid.Permutation(calls).Draw(rt, "calls"))
		anyhow.expectRows(want, "shuffled, doubled and gapped")
		if _, err := anyhow.Views.Rebuild(rt.Context()); err != nil {
			rt.Fatal(err)
		}
		anyhow.expectRows(want, "and rebuilt over it")
	})
}

func upTo(n int) []int {
	indexes := make([]int, n)
	for i := range indexes {
		indexes[i] = i
	}
	return indexes
}

// A rebuild beside live traffic ends with the rows that the traffic alone would have made.
func TestRebuildBesideLiveTraffic(t *testing.T) {
	t.Parallel()
	w := begin(t)
	var ids []string
	for i := range 6 {
		ids = append(ids, w.register(fmt.Sprintf(`{"email":"live-%d@mail.example","marketingConsent":true,"termsAccepted":true}`, i)))
	}
	for _, c := range w.deliveries(w.commits(), func(n int, _ func(int) bool) []int { return upTo(n) }, func(int) int { return 1 }) {
		if err := c.deliver(); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	done := make(chan error, 2)
	go func() { // customers change, and every change is delivered at once
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			id := ids[i%len(ids)]
			before := len(w.history(view.CustomerStream(id)))
			w.patch(id, fmt.Sprintf(`{"firstName":"Ada %d"}`, i))
			if i%2 == 0 {
				w.call(RevokeConsent(w.App), "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", "/v1/customers/"+id+"/consents/marketing/email", "", withKey)
			} else {
				w.grant(id, `{"purpose":"marketing","channel":"email"}`)
			}
			var fresh []eventstore.Commit
			for c, err := range w.Log.Store.Read(context.Background(), view.CustomerStream(id), int64(before+1), 0) {
				if err != nil {
					done <- err
					return
				}
				fresh = append(fresh, c)
			}
			for _, c := range w.deliveries(fresh, func(n int, _ func(int) bool) []int { return upTo(n) }, func(int) int { return 9 }) {
				if err := c.deliver(); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	other := w.another()
	for range 12 {
		if err := other.Views.Remove(context.Background(), other.projected()); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Views.Rebuild(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := w.rows()
	fresh := *w
	fresh.tables[1] = dynamotest.Table(t, dynamotest.Client(t))
	last := fresh.another()
	if _, err := last.Views.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	last.expectRows(got, "rebuilt in peace")
}

// Between any two calls of a rebuild, an event is projected. Whatever the moment, nothing is lost and nothing left over.
func TestEventBetweenTheStepsOfARebuild(t *testing.T) {
	t.Parallel()
	for _, grantLast := range []bool{true, false} {
		for n := 1; ; n++ {
			w := begin(t)
			id := w.register(fmt.Sprintf(`{"email":"ada@mail.example","marketingConsent":%t,"termsAccepted":true}`, !grantLast))
			w.grant(id, `{"purpose":"analytics","channel":"sms"}`).expect(201)
			for i := range 13 { // more rows than are removed at once
				w.patch(id, fmt.Sprintf(`{"phone":"+44 %d"}`, i)).expect(200)
			}
			deliver := func(from int) {
				t.Helper()
				var commits []eventstore.Commit
				for _, c := range w.commits() {
					if c.First > int64(from) {
						commits = append(commits, c)
					}
				}
				for _, c := range w.deliveries(commits, func(n int, _ func(int) bool) []int { return upTo(n) }, func(int) int { return 9 }) {
					if err := c.deliver(); err != nil {
						t.Fatal(err)
					}
				}
			}
			deliver(0)
			before := len(w.history(view.CustomerStream(id)))
			happened := false
			rebuilding := w.process(interruptedAt(w.client, n, func() error {
				happened = true
				if grantLast {
					w.grant(id, `{"purpose":"marketing","channel":"email"}`).expect(201)
				} else {
					w.call(RevokeConsent(w.App), "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", "/v1/customers/"+id+"/consents/marketing/email", "", withKey).expect(200)
				}
				deliver(before)
				return nil
			}, false))
			if err := rebuilding.Views.Remove(t.Context(), rebuilding.projected()); err != nil {
				t.Fatal(err)
			}
			if _, err := rebuilding.Views.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !happened {
				break // there are no more steps
			}
			fresh := *w
			fresh.tables[1] = dynamotest.Table(t, dynamotest.Client(t))
			inPeace := fresh.another()
			if _, err := inPeace.Views.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.expectRows(inPeace.rows(), fmt.Sprint("with an event before call ", n))
		}
	}
}

func TestB30_RevokedThenLateGrant(t *testing.T) {
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","marketingConsent":true,"termsAccepted":true}`)
	w.call(RevokeConsent(w.App), "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", "/v1/customers/"+id+"/consents/marketing/email", "", withKey).expect(200)
	calls := w.deliveries(w.commits(), func(n int, _ func(int) bool) []int { return upTo(n) }, func(int) int { return 1 })
	for _, call := range slices.Backward(calls) {
		if err := call.deliver(); err != nil {
			t.Fatal(err)
		}
		state, version, err := view.Consents.Load(t.Context(), w.Views, view.CustomerStream(id))
		if err != nil {
			t.Fatal(err)
		}
		if version > 0 && state.Allows("marketing", "email", w.clock.Now()) {
			t.Errorf("at version %d the view says that mail is allowed", version)
		}
		list, _, err := w.Views.ListConsented(t.Context(), "marketing", "email", w.clock.Now(), "", 10)
		if err != nil || len(list) > 0 {
			t.Errorf("consenting: %v %v", list, err)
		}
	}
}

func TestB31_RevokingWhatIsNotThere(t *testing.T) {
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","termsAccepted":true}`)
	w.call(RevokeConsent(w.App), "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", "/v1/customers/"+id+"/consents/marketing/email", "", withKey).expect(200)
	if n := w.happened(id, "ConsentRevoked"); n != 0 {
		t.Errorf("%d × ConsentRevoked", n)
	}
	// Granted, revoked and granted again: each is on record, and each has its date.
	body := `{"purpose":"marketing","channel":"email"}`
	w.grant(id, body).expect(201)
	w.clock.advance(time.Hour)
	w.call(RevokeConsent(w.App), "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", "/v1/customers/"+id+"/consents/marketing/email", "", withKey).expect(200)
	w.clock.advance(time.Hour)
	w.grant(id, body).expect(201)
	if _, err := w.Views.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	trail, _, err := w.Views.AuditTrail(t.Context(), view.CustomerStream(id), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Time
	for _, entry := range trail {
		if strings.HasPrefix(entry.Type, "Consent") {
			times = append(times, entry.OccurredAt)
		}
	}
	if len(times) != 3 || times[1].Sub(times[0]) < time.Hour || times[2].Sub(times[1]) < time.Hour {
		t.Errorf("the audit trail of consents is %v", times)
	}
	if list, _, err := w.Views.ListConsented(t.Context(), "marketing", "email", w.clock.Now(), "", 10); err != nil || len(list) != 1 || !list[0].GrantedAt.Equal(times[2]) {
		t.Errorf("consenting: %v %v", list, err)
	}
}
