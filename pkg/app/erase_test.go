package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/activity"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/identity"
	"defter/pkg/meter"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
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

func (w *world) eraseVisitor(id string) reply {
	w.t.Helper()
	return w.call(EraseCustomer(w.App), "POST", "/v1/visitors/{id}/erasure", "/v1/visitors/"+id+"/erasure", "{}", withKey)
}

func (w *world) erasure(kind, id string) reply {
	w.t.Helper()
	return w.call(GetErasure(w.App), "GET", "/v1/"+kind+"/{id}/erasure", "/v1/"+kind+"/"+id+"/erasure", "", withKey)
}

// joins tells the other streams of links, as the bus would that delivers everything again.
func (w *world) joins() { w.t.Helper(); w.joinsNext(map[string]bool{}) }

// joinsNext is joins of what was not told before.
func (w *world) joinsNext(told map[string]bool) {
	w.t.Helper()
	for _, c := range w.commits() {
		if told[c.ID] {
			continue
		}
		told[c.ID] = true
		events, err := w.Log.Open(w.t.Context(), c)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range events {
			if err := w.JoinIdentities(w.t.Context(), e); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// TestS6_AnErasureFollowsEveryLink: sixty visitors, of which the state remembers fifty, and former ids six steps away, whether the views
// know of them or not.
func TestS6_AnErasureFollowsEveryLink(t *testing.T) {
	t.Parallel()
	for _, projected := range []bool{false, true} {
		w := begin(t)
		id := w.register(`{"email":"ada@mail.example","termsAccepted":true}`)
		var streams []string
		for i := range 60 {
			visitor := fmt.Sprint("visitor-", i)
			w.sends("browser", "page", fmt.Sprintf(`{"anonymousId":"%s","name":"My Account of Ada"}`, visitor)).expect(200)
			w.sends("server", "identify", fmt.Sprintf(`{"userId":"%s","anonymousId":"%s"}`, id, visitor)).expect(200)
			streams = append(streams, view.VisitorStream(visitor))
		}
		owner := id
		for i := range 6 {
			former := fmt.Sprint("former-", i)
			w.sends("server", "identify", fmt.Sprintf(`{"userId":"%s","traits":{"firstName":"Ada"}}`, former)).expect(200)
			w.sends("server", "alias", fmt.Sprintf(`{"userId":"%s","previousId":"%s"}`, owner, former)).expect(200)
			streams, owner = append(streams, view.CustomerStream(former)), former
		}
		w.sends("server", "identify", `{"userId":"somebody-else","traits":{"firstName":"Ada"}}`).expect(200)
		w.sends("server", "alias", fmt.Sprintf(`{"userId":"%s","previousId":"somebody-else"}`, id)).expect(200)
		w.call(UnlinkIdentity(w.App), "DELETE", "/v1/customers/{id}/identities/{kind}/{identity}", "/v1/customers/"+id+"/identities/user/somebody-else", "", withKey).expect(200)
		if projected {
			w.joins()
			w.delivering().deliver()
		}
		done := w.erase(id, withKey)
		for done.status == 202 { // a slow machine does not finish within the request
			done = w.erase(id, withKey)
		}
		done.expect(200)
		for _, s := range append(streams, view.CustomerStream(id)) {
			if _, err := w.Keyring.Seal(t.Context(), s, "x", []byte("x")); !errors.Is(err, eventstore.ErrErased) {
				t.Errorf("projected %v: the key of %s is there: %v", projected, s, err)
			}
		}
		want := 67
		if projected { // then the former ids' visitors have a stream, with the claim
			want = 73
		}
		if !strings.Contains(done.body, fmt.Sprint(`"system":"data keys and snapshots","action":"destroyed","status":"done","items":`, want)) {
			t.Errorf("the certificate is %s", done.body)
		}
		if s := w.state(view.CustomerStream("somebody-else")); erased(s) {
			t.Error("who was somebody else after all is erased too")
		}
	}
}

// TestC4_TheRealVisitorStillJoins after sixty that a client made up, one for each message.
func TestC4_TheRealVisitorStillJoins(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id := w.ada()
	for i := range 60 {
		w.sends("server", "track", fmt.Sprintf(`{"userId":"%s","anonymousId":"made-up-%d","event":"Called"}`, id, i)).expect(200)
	}
	w.sends("browser", "page", `{"anonymousId":"real","name":"Home"}`).expect(200)
	w.sends("browser", "identify", fmt.Sprintf(`{"userId":"%s","anonymousId":"real"}`, id)).expect(200)
	views := w.delivering()
	views.deliver()
	w.joins()
	views.deliver()
	timeline := w.call(ListTimeline(w.App), "GET", "/v1/customers/{id}/timeline", "/v1/customers/"+id+"/timeline?limit=200", "", withKey).expect(200)
	if !strings.Contains(timeline.body, `"of":"real"`) {
		t.Errorf("the timeline is without the real visitor: %.2000s", timeline.body)
	}
	list := w.call(ListIdentities(w.App), "GET", "/v1/customers/{id}/identities", "/v1/customers/"+id+"/identities", "", withKey).expect(200)
	if !strings.Contains(list.body, `{"id":"real","kind":"anonymous"`) || strings.Contains(list.body, `"owned":false`) {
		t.Errorf("the identities are %s", list.body)
	}
	more := w.call(ListIdentities(w.App), "GET", "/v1/customers/{id}/identities", "/v1/customers/"+id+"/identities?limit=100&cursor="+list.text("nextCursor"), "", withKey).expect(200)
	if n := strings.Count(more.body, `"kind":`); n != 10 || !strings.Contains(more.body, `"id":"made-up-0"`) || strings.Contains(more.body, `"owned":false`) {
		t.Errorf("%d that left the state: %s", n, more.body)
	}
	w.call(UnlinkIdentity(w.App), "DELETE", "/v1/customers/{id}/identities/{kind}/{identity}", "/v1/customers/"+id+"/identities/anonymous/made-up-0", "", withKey).expect(200)
	w.joins()
	if owner := w.state(view.VisitorStream("made-up-0")).Identity.Owner(); owner != "" {
		t.Errorf("one that left the state is unlinked, and still %s's", owner)
	}
	if owner := w.state(view.VisitorStream("made-up-1")).Identity.Owner(); owner != id {
		t.Errorf("one that left the state is %q's", owner)
	}
}

// TestS6_AVisitorIsErased who is linked to nobody. Who is linked is erased with the customer.
func TestS6_AVisitorIsErased(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.sends("browser", "page", `{"anonymousId":"visitor-1","name":"My Account of Ada","properties":{"url":"https://shop.example/ada"}}`).expect(200)
	w.delivering().deliver()
	w.eraseVisitor("visitor-2").expect(404)
	w.erasure("visitors", "visitor-1").expect(404)
	done := w.eraseVisitor("visitor-1").expect(200)
	if again := w.eraseVisitor("visitor-1").expect(200); again.body != done.body || done.text("visitorId") != "visitor-1" || done.text("status") != "completed" {
		t.Errorf("%s, asked again %s", done.body, again.body)
	}
	if shown := w.erasure("visitors", "visitor-1").expect(200); shown.body != done.body {
		t.Errorf("shown: %s", shown.body)
	}
	if _, err := w.Keyring.Seal(t.Context(), view.VisitorStream("visitor-1"), "x", []byte("x")); !errors.Is(err, eventstore.ErrErased) {
		t.Errorf("sealing: %v", err)
	}
	w.sends("browser", "page", `{"anonymousId":"visitor-1","name":"My Account of Ada"}`).expect(200)
	if history := w.history(view.VisitorStream("visitor-1")); history[len(history)-1].Type != "CustomerDataDeleted" {
		t.Errorf("their history goes on: %v", kinds(history))
	}
	id := w.ada()
	w.sends("server", "identify", fmt.Sprintf(`{"userId":"%s","anonymousId":"visitor-3"}`, id)).expect(200)
	w.joins()
	if a := w.eraseVisitor("visitor-3").expect(422); a.text("type") == "" || !strings.Contains(a.body, "visitor-is-customer") {
		t.Errorf("a customer's visitor: %s", a.body)
	}
}

// TestS5_AnErasureGoesOnByItself: the request records it and is interrupted; the machine does the rest, step by step, whatever fails.
func TestS5_AnErasureGoesOnByItself(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id := w.personalStory()
	w.post.forget = func() error { return errors.New("the provider is away") }
	w.erase(id, withKey).expect(500)
	shown := w.erasure("customers", id).expect(200)
	if shown.text("status") != "under-way" || !strings.Contains(shown.body, `"action":"followed","status":"done"`) || !strings.Contains(shown.body, `"status":"pending"`) {
		t.Errorf("under way: %s", shown.body)
	}
	for _, c := range w.commits() {
		events, err := w.Log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if err := w.TriggerErasures(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	var run ErasureRun
	w.runs.mu.Lock()
	for _, input := range w.runs.inputs {
		if strings.Contains(string(input), id) {
			if err := json.Unmarshal(input, &run); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.runs.mu.Unlock()
	if run.Stream != view.CustomerStream(id) {
		t.Fatalf("no run was started: %+v", run)
	}
	for n := 0; !run.Done; n++ {
		if n == 20 {
			t.Fatalf("it does not come to an end: %+v", run)
		}
		if n == 3 {
			w.post.forget = nil
		}
		next, err := w.another().RunErasureStep(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		run = next
		w.clock.advance(time.Hour)
	}
	w.expectErased(id, w.erasure("customers", id).expect(200))
}

// TestS5_ErasedAgainAfterARestore: the keys table comes back from a backup, and what was erased could be read again.
func TestS5_ErasedAgainAfterARestore(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id, other := w.personalStory(), w.register(`{"email":"grace@mail.example","firstName":"Grace","termsAccepted":true}`)
	readable := func(w *world, id string) bool {
		for _, e := range w.history(view.CustomerStream(id)) {
			if e.Erased {
				return false
			}
		}
		return true
	}
	out, err := dynamotest.Client(t).Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.tables[2]})
	if err != nil {
		t.Fatal(err)
	}
	w.erase(id, withKey).expect(200)
	restored := *w
	restored.tables[2] = dynamotest.Table(t, dynamotest.Client(t))
	for _, item := range out.Items {
		if _, err := w.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &restored.tables[2], Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	w = restored.another()
	if !readable(w, id) {
		t.Fatal("the backup holds no keys: this test shows nothing")
	}
	for _, want := range []bool{true, false} { // done again, it finds nothing
		if n, err := w.another().ReapplyErasures(t.Context()); err != nil || n > 0 != want {
			t.Errorf("%d keys were destroyed again, %v", n, err)
		}
	}
	if w = w.another(); readable(w, id) || !readable(w, other) {
		t.Errorf("readable: the erased %v, another %v", readable(w, id), readable(w, other))
	}
}

// TestS5_AnErasureIsIndependentOfTheHistory, and so is whatever is asked of the erased afterwards, though no snapshot can be kept of them.
func TestS5_AnErasureIsIndependentOfTheHistory(t *testing.T) {
	t.Parallel()
	w := begin(t)
	costs := map[string][]float64{}
	for _, commits := range []int{5, 300} {
		id := w.register(fmt.Sprintf(`{"email":"ada%d@mail.example","firstName":"Ada","termsAccepted":true}`, commits))
		for range commits {
			w.behave(view.CustomerStream(id), activity.PageViewed{PageURL: "https://shop.example/" + strings.Repeat("secret", 200)})
		}
		total := new(meter.Meter)
		metered := w.process(meter.Client{API: w.client, Total: total})
		measure := func(what string, do func()) {
			before := total.Cost().ReadUnits
			do()
			costs[what] = append(costs[what], total.Cost().ReadUnits-before)
		}
		if commits > 5 {
			w.delivering().deliver()
		}
		measure("erasing", func() { metered.erase(id, withKey).expect(200) })
		measure("a message afterwards", func() {
			metered.sends("server", "page", fmt.Sprintf(`{"userId":"%s","name":"Home"}`, id)).expect(200)
		})
	}
	for what, units := range costs {
		if units[1] > 2*units[0]+30 { // the timeline's rows are listed
			t.Errorf("%s reads %v units with 5 and 300 commits", what, units)
		}
	}
}

// TestS6_NoClaimIsForgotten: a visitor turned out to be one of twenty-five customers; as one after the other says that it is not them, it becomes
// the next one's, to the last.
func TestS6_NoClaimIsForgotten(t *testing.T) {
	t.Parallel()
	w := begin(t)
	told := map[string]bool{}
	const customers = identity.MaxClaims + 5
	w.sends("browser", "page", `{"anonymousId":"shared","name":"My Account"}`).expect(200)
	for i := range customers {
		w.sends("server", "identify", fmt.Sprintf(`{"userId":"u-%02d","anonymousId":"shared"}`, i)).expect(200)
		w.clock.advance(time.Minute)
	}
	w.joinsNext(told)
	unlinks := func(id string) {
		w.call(UnlinkIdentity(w.App), "DELETE", "/v1/customers/{id}/identities/{kind}/{identity}", "/v1/customers/"+id+"/identities/anonymous/shared", "", withKey).expect(200)
		w.clock.advance(time.Minute)
		w.joinsNext(told)
	}
	unlinks(fmt.Sprint("u-", customers-1)) // whose claim is one too many
	for i := range customers - 1 {
		id := fmt.Sprintf("u-%02d", i)
		if owner := w.state(view.VisitorStream("shared")).Identity.Owner(); owner != id {
			t.Fatalf("after %d said that it is not them, it is %q's", i, owner)
		}
		unlinks(id)
	}
	if owner := w.state(view.VisitorStream("shared")).Identity.Owner(); owner != "" {
		t.Errorf("in the end it is %q's", owner)
	}
}

// TestS6_WhatBecomesAnErasedOnesIsErased: a visitor was somebody else's when a customer was erased, and turned out to be theirs afterwards.
func TestS6_WhatBecomesAnErasedOnesIsErased(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.sends("browser", "page", `{"anonymousId":"shared","name":"My Account of Ada"}`).expect(200)
	for _, id := range []string{"u-bob", "u-ada"} {
		w.sends("server", "identify", fmt.Sprintf(`{"userId":"%s","anonymousId":"shared"}`, id)).expect(200)
		w.clock.advance(time.Minute)
	}
	w.joins()
	w.erase("u-ada", withKey).expect(200)
	visitor := view.VisitorStream("shared")
	if erased(w.state(visitor)) {
		t.Fatal("another's visitor is erased")
	}
	w.call(UnlinkIdentity(w.App), "DELETE", "/v1/customers/{id}/identities/{kind}/{identity}", "/v1/customers/u-bob/identities/anonymous/shared", "", withKey).expect(200)
	w.joins()
	w.joins() // delivered again
	var asked []eventstore.Event
	for _, e := range w.history(visitor) {
		if e.Type == "CustomerDataDeletionRequested" {
			asked = append(asked, e)
		}
	}
	if len(asked) != 1 {
		t.Fatalf("its erasure is asked for %d times: %v", len(asked), kinds(w.history(visitor)))
	}
	if err := w.TriggerErasures(t.Context(), asked[0]); err != nil {
		t.Fatal(err)
	}
	run := ErasureRun{Stream: visitor}
	for !run.Done {
		var err error
		if run, err = w.another().RunErasureStep(t.Context(), run); err != nil || run.Failures > 0 {
			t.Fatal(run, err)
		}
	}
	if _, err := w.another().Keyring.Seal(t.Context(), visitor, "x", []byte("x")); !errors.Is(err, eventstore.ErrErased) {
		t.Errorf("its key is there: %v", err)
	}
	if done := w.erasure("visitors", "shared").expect(200); done.text("status") != "completed" {
		t.Errorf("its erasure: %s", done.body)
	}
}

// runsErasures is what trigger-erasures and its machine do with every erasure that was asked for.
func (w *world) runsErasures() {
	w.t.Helper()
	for _, c := range w.commits() {
		events, err := w.Log.Open(w.t.Context(), c)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range events {
			if err := w.TriggerErasures(w.t.Context(), e); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, input := range w.runs.inputs {
		var run ErasureRun
		if err := json.Unmarshal(input, &run); err != nil {
			w.t.Fatal(err)
		}
		for run.Until = ""; !run.Done; {
			var err error
			if run, err = w.another().RunErasureStep(w.t.Context(), run); err != nil || run.Failures > 0 {
				w.t.Fatal(run, err)
			}
		}
	}
}

// TestS6_ALateDeviceOfAnErasedOneIsErased: a device of theirs sends after the erasure what it did before, and who was there.
func TestS6_ALateDeviceOfAnErasedOneIsErased(t *testing.T) {
	t.Parallel()
	const page, named = `{"type":"page","anonymousId":"exd2","messageId":"%s","name":"My Account of Ada"}`, `{"type":"identify","userId":"ex1","anonymousId":"exd2"}`
	first, last := fmt.Sprintf(page, "m1"), fmt.Sprintf(page, "m2")
	for name, c := range map[string]struct {
		source string
		batch  []string
	}{
		"a server's word":             {"server", []string{first, named, last}},
		"and nothing before it":       {"server", []string{named, last}},
		"with what they did":          {"server", []string{first, `{"type":"track","userId":"ex1","anonymousId":"exd2","event":"Seen"}`, last}},
		"as a former id":              {"server", []string{first, `{"type":"alias","userId":"ex1","previousId":"exd2"}`, last}},
		"a page's, of nobody's":       {"browser", []string{first, named, last}},
		"a page's, as a former id":    {"browser", []string{first, `{"type":"alias","userId":"ex1","previousId":"exd2"}`, last}},
		"the same word a second time": {"server", []string{first, named, named, last}},
	} {
		for _, underWay := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", under way ", underWay), func(t *testing.T) {
				t.Parallel()
				w := begin(t)
				w.sends("server", "identify", `{"userId":"ex1","anonymousId":"exd1"}`).expect(200)
				if underWay {
					w.post.forget = func() error { return errors.New("the provider is away") }
					w.erase("ex1", withKey).expect(500)
				} else {
					w.erase("ex1", withKey).expect(200)
				}
				for range 2 {
					for _, m := range c.batch { // one after the other, as their order is nobody's promise
						w.sends(c.source, "batch", `{"batch":[`+m+`]}`).expect(200)
					}
					w.joins()
				}
				w.post.forget = nil
				w.runsErasures()
				visitor := view.VisitorStream("exd2")
				if got := kinds(w.history(visitor)); len(got) == 0 || got[len(got)-1] != "CustomerDataDeleted" {
					t.Errorf("their history: %v", got)
				}
				if _, err := w.another().Keyring.Seal(t.Context(), visitor, "x", []byte("x")); !errors.Is(err, eventstore.ErrErased) {
					t.Errorf("its key is there: %v", err)
				}
				if done := w.erasure("visitors", "exd2").expect(200); done.text("status") != "completed" {
					t.Errorf("its erasure: %s", done.body)
				}
			})
		}
	}
}

// TestS6_AnotherOnesDeviceIsNotErased by what is said in an erased customer's name: it follows the rules for links. What was unlinked stays so.
func TestS6_AnotherOnesDeviceIsNotErased(t *testing.T) {
	t.Parallel()
	const named = `{"userId":"ex1","anonymousId":"theirs","timestamp":"%s"}`
	earlier := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		name, before, source string
		joins                bool // before it is unlinked
	}{
		{"linked by a server, named by a page", `{"userId":"bob","anonymousId":"theirs"}`, "browser", true},
		{"linked by a server before, named by another", `{"userId":"bob","anonymousId":"theirs","timestamp":"2020-01-01T00:00:00Z"}`, "server", true},
		{"unlinked", "", "server", true},
		{"unlinked before anybody was told of the link", "", "server", false},
		{"unlinked, named by a page", "", "browser", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			w.sends("browser", "page", `{"anonymousId":"theirs","name":"home"}`).expect(200)
			w.sends("server", "identify", `{"userId":"ex1","anonymousId":"exd1"}`).expect(200)
			if c.before != "" {
				w.sends("server", "identify", c.before).expect(200)
			} else {
				w.sends("server", "identify", `{"userId":"ex1","anonymousId":"theirs"}`).expect(200)
				if c.joins {
					w.joins()
				}
				w.call(UnlinkIdentity(w.App), "DELETE", "/v1/customers/{id}/identities/{kind}/{identity}", "/v1/customers/ex1/identities/anonymous/theirs", "", withKey).expect(200)
			}
			w.joins()
			w.erase("ex1", withKey).expect(200)
			w.sends(c.source, "identify", fmt.Sprintf(named, earlier)).expect(200)
			w.joins()
			w.runsErasures()
			if erased(w.state(view.VisitorStream("theirs"))) {
				t.Errorf("it is erased: %v", kinds(w.history(view.VisitorStream("theirs"))))
			}
		})
	}
}
