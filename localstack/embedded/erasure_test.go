package embedded

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"defter/pkg/app"
	"defter/pkg/catalog"
	"defter/pkg/fault"
	"defter/pkg/topology"
	"defter/pkg/view"
)

// secrets are what is personal in the story of somebody.
var secrets = []string{
	"ada.lovelace@mail.example", "ADA.LOVELACE", "augusta.king@mail.example", "third.address@mail.example", "Ada-Given", "Lovelace-Family", "Augusta-Given", "King-Family",
	"+44 20 7946 0018", "+44 20 7946 0019", "12 St James", "Square-Line", "Ockham-City", "SW1Y-Code", "1915-12-10", "203.0.113.77", "2001:db8::77",
	"Firefox-Agent", "by telephone", "red shoes for my sister", "orders/secret-path", "secret-referrer", "secret-attribute", "secret-trait", "secret-property",
	"Analytical Engines", "secret-quarantined", "secret-large", "My Account of Ada",
	"of-ada@chosen.example", "905550102030", "ada-lovelace-order",
}

// tell lives the life of somebody about whom everything is known.
func tell(s *story) customer {
	s.Helper()
	keyed := func() *story { return s.with("Idempotency-Key", unique("key"), "User-Agent", "Firefox-Agent") }
	address := "ada.lovelace@mail.example"
	visitor := unique("visitor")
	context := m{"ip": "203.0.113.77", "userAgent": "Firefox-Agent", "page": m{"url": "https://shop.example/orders/secret-path", "referrer": "https://secret-referrer"}}
	s.sdk().post("/v1/page", m{"anonymousId": visitor, "name": "My Account of Ada", "context": context}).expect(200)
	s.sdk().post("/v1/identify", m{"anonymousId": visitor, "traits": m{"email": address, "note": "secret-trait"}, "context": context}).expect(200)
	a := keyed().post("/v1/customers", m{
		"email": strings.ToUpper(address), "firstName": "Ada-Given", "lastName": "Lovelace-Family", "phone": "+44 20 7946 0018", "marketingConsent": true,
		"termsAccepted": true, "ipAddress": "203.0.113.77", "userAgent": "Firefox-Agent",
	}).expect(201)
	c := customer{s, a.text("customerId"), address}
	s.mailed(address, 1)
	keyed().patch(c.path(""), m{
		"firstName": "Augusta-Given", "lastName": "King-Family", "phone": "+44 20 7946 0019", "dateOfBirth": "1915-12-10",
		"address":    m{"line1": "12 St James", "line2": "Square-Line", "city": "Ockham-City", "postalCode": "SW1Y-Code"},
		"attributes": m{"note": "secret-attribute"},
	}).expect(200)
	for _, next := range []string{"augusta.king@mail.example", "third.address@mail.example"} {
		keyed().put(c.path("/email"), m{"email": next, "ipAddress": "2001:db8::77"}).expect(200)
		s.mailed(next, 1)
	}
	keyed().post(c.path("/consents"), m{"purpose": "analytics", "channel": "sms", "ipAddress": "2001:db8::77"}).expect(201)
	c.put(c.path("/preferences"), m{"emailFrequency": "daily", "categories": []string{"shoes"}}).expect(200)
	for kind, body := range map[string]m{
		"identify": {"anonymousId": visitor, "traits": m{"note": "secret-trait", "phone": "+44 20 7946 0018"}},
		"page":     {"name": "My Account of Ada", "properties": m{"url": "https://shop.example/orders/secret-path", "title": "My Account of Ada"}},
		"screen":   {"name": "My Account of Ada"},
		"track":    {"event": "Called", "properties": m{"about": "secret-property"}},
		"group":    {"groupId": "Analytical Engines", "traits": m{"name": "Analytical Engines"}},
		"alias":    {"previousId": address},
		"batch": {"batch": []m{
			track(c.id, "Products Searched", m{"query": "red shoes for my sister"}),
			track(c.id, "Product Viewed", m{"product_id": "p-1", "name": "control-product"}),
			track(c.id, "Order Completed", m{"order_id": unique("order"), "total": 10}),
			{"type": "purr", "userId": c.id, "traits": m{"email": address, "note": "secret-quarantined"}},
			{"type": "track", "event": "Large", "anonymousId": visitor, "properties": m{"a": strings.Repeat("secret-large ", 3000)}},
			{"type": "track", "event": "Nobody's", "properties": m{"email": address}},
		}},
	} {
		body["userId"], body["context"] = c.id, context
		s.sdk().with("Idempotency-Key", unique("key")).post("/v1/"+kind, body).expect(200)
	}
	s.advance("25h")
	s.mailed("third.address@mail.example", 2)
	keyed().post(c.path("/deactivation"), m{"reason": "customer-request", "notes": "by telephone, Mrs King-Family"}).expect(200)
	keyed().post(c.path("/reactivation"), m{}).expect(200)
	c.email = "third.address@mail.example"
	s.get("/v1/customers?email=" + c.email).expect(200)
	c.chooses(visitor)
	return c
}

// chooses tells everything else that clients can tell, with something personal in every id and text that they choose.
func (c customer) chooses(visitor string) {
	c.Helper()
	chosen := func(what string) string { return what + "-of-ada@chosen.example" }
	product := m{
		"product_id": chosen("product"), "sku": chosen("sku"), "name": chosen("product-name"), "category": chosen("category"), "brand": chosen("brand"), "variant": chosen("variant"),
		"coupon": chosen("coupon"), "quantity": 1, "price": 5, "currency": "EUR", "url": "https://shop.example/" + chosen("url"), "image_url": "https://shop.example/" + chosen("image"),
	}
	with := func(more m) m {
		all := m{"cart_id": chosen("cart"), "session_id": chosen("session"), "checkout_id": chosen("checkout"), "order_id": chosen("order"), "products": []m{product}}
		maps.Copy(all, product)
		maps.Copy(all, more)
		return all
	}
	context := m{"sessionId": chosen("session"), "campaign": m{"name": chosen("campaign"), "source": chosen("source")}, "ip": "203.0.113.77", "userAgent": "Firefox-Agent"}
	told := func(event string, more m) {
		message := track(c.id, event, with(more))
		message["context"], message["anonymousId"] = context, visitor
		c.sdk().post("/v1/track", message).expect(200)
	}
	for _, event := range []string{
		"Product List Viewed", "Product Viewed", "Product Clicked", "Products Searched", "Product Added", "Product Removed", "Product Shared", "Product Added to Wishlist",
		"Product Compared", "Products Compared", "Product Reviewed", "Review Read", "Cart Viewed", "Cart Shared", "Checkout Started", "Checkout Step Viewed", "Checkout Step Completed",
		"Payment Info Entered", "Coupon Entered", "Coupon Applied", "Promotion Viewed", "Promotion Clicked", "Signed Up", "Signed In", "Logged In", "Signed Out",
		"Experiment Viewed", "Video Playback Started", "Video Playback Completed", "Video Watched", "Email Delivered", "Email Opened", "Email Link Clicked", "Email Bounced",
		"Email Marked as Spam", "Unsubscribed", "Application Opened", "Affinity Computed", "Product Affinity Detected", "Integration Synced", "Third Party Integration Synced",
		"Touchpoint Recorded", "Attribution Calculated",
	} {
		told(event, m{
			"step": 1, "query": chosen("query"), "method": chosen("method"), "experiment_id": chosen("experiment"), "experiment_name": chosen("experiment-name"), "variation_id": chosen("variation"),
			"variation_name": chosen("variation-name"), "video_id": chosen("video"), "content_asset_id": chosen("asset"), "review_id": chosen("review"), "rating": chosen("rating"),
			"email_id": chosen("email"), "campaign": m{"name": chosen("campaign"), "id": chosen("campaign")}, "campaign_name": chosen("campaign"), "campaign_id": chosen("campaign"), "link_url": "https://" + chosen("link"), "message_id": chosen("message"),
			"integration": chosen("integration"), "action": chosen("action"), "event_type": chosen("event-type"), "channel": "email", "affinity_score": 0.5, "model": "linear", "value": 3,
			"list_id": chosen("list"), "promotion_id": chosen("promotion"), "creative": chosen("creative"), "position": chosen("position"), "reason": chosen("reason"), "bounce_type": chosen("bounce"),
			"product_ids": []string{chosen("product")}, "recommended_products": []string{chosen("product")}, "affinity_category": chosen("category"), "credits": []m{{"channel": "email", "campaign": chosen("campaign"), "value": 1}},
		})
	}
	told("Order Completed", m{"total": 5, "shipping": 1, "affiliation": chosen("affiliation"), "coupon": chosen("coupon"), "payment_id": chosen("payment")})
	told("Order Updated", m{"total": 5})
	told("Order Shipped", m{"carrier": chosen("carrier"), "tracking_number": chosen("tracking"), "estimated_delivery": chosen("delivery")})
	told("Order Delivered", m{"signed_by": chosen("signature")})
	told("Order Refunded", m{"total": 2, "refund_id": chosen("refund"), "transaction_id": chosen("transaction")})
	told("Order Completed", m{"order_id": chosen("second"), "total": 5})
	told("Order Cancelled", m{"order_id": chosen("second"), "reason": chosen("reason")})
	told("Order Shipped", m{"order_id": chosen("unknown-order"), "carrier": chosen("carrier")})
	c.sdk().post("/v1/group", m{"userId": c.id, "groupId": chosen("group"), "traits": m{"name": chosen("group-name")}}).expect(200)
	c.sdk().post("/v1/alias", m{"userId": c.id, "previousId": chosen("previous")}).expect(200)
	c.sdk().post("/v1/page", m{"anonymousId": chosen("visitor"), "userId": c.id, "name": chosen("page")}).expect(200)
	c.put(c.path("/preferences"), m{"categories": []string{chosen("preference")}, "pushCategories": []string{chosen("push")}}).expect(200)
	c.post(c.path("/consents"), m{"purpose": "essential", "channel": "push", "textVersion": chosen("wording"), "language": "en"}).expect(201)

	for path, body := range map[string]m{"anonymous/v-77": {"anonymousId": "v-77"}, "user/u-88": {"userId": "u-88"}} {
		c.post(c.path("/identities"), body).expect(201)
		c.delete(c.path("/identities/" + path + "?reason=" + chosen("mistake"))).expect(200)
	}
	for range 2 { // the second only confirms the first
		c.sdk().post("/v1/identify", m{"userId": c.id, "timestamp": time.Now().UTC(), "traits": m{"note": chosen("trait"), "address": m{"street": chosen("street")}}}).expect(200)
	}
	told("Product Added", m{"cart_id": chosen("left-cart"), "order_id": nil})
	told("Checkout Started", m{"cart_id": chosen("left-cart"), "order_id": nil})
	c.advance("2h")
	eventually(c, "the cart counts as abandoned", func() bool {
		return len(c.get(c.path("/events?types=CartAbandoned")).expect(200).list("events")) > 0
	})

	// Orders whose ids are a telephone number after a letter, and a name.
	for order, token := range map[string]string{"tel-905550102030": "ok", "ada-lovelace-order": "card_declined"} {
		basket := c.basket()
		basket["orderId"], basket["cartId"], basket["payment"] = order, chosen("cart"), m{"paymentMethod": "credit-card", "paymentToken": token}
		c.with("Idempotency-Key", unique("key")).post("/v1/orders", basket).expect(201)
	}
	eventually(c, "an order whose id tells something is paid", func() bool {
		return c.get("/v1/orders/tel-905550102030").expect(200).text("status") == "confirmed"
	})
	c.with("Idempotency-Key", unique("key")).post("/v1/orders/tel-905550102030/shipment", m{"carrier": chosen("carrier"), "trackingNumber": chosen("tracking")}).expect(200)
	c.post("/v1/orders/tel-905550102030/delivery", m{"signedBy": chosen("signature")}).expect(200)
	c.post("/v1/orders/tel-905550102030/refunds", m{"refundId": "u905550102030", "reason": "other"}).expect(202)
	eventually(c, "its money went back", func() bool {
		return strings.Contains(string(c.get("/v1/orders/tel-905550102030").expect(200).body), "RefundCompleted")
	})
	eventually(c, "nothing left to do", func() bool { return c.get("/_local/stats").number("lag") == 0 })
}

// untold are the event types that the story does not have, and why they hold nothing personal in the open all the same: what is public of
// every type is looked at in pkg/catalog.
var untold = map[string]string{
	"BehaviourArchived": "counts", "BehaviourSummarised": "counts", "ConsentExpired": "two years later", "ConsentExpiring": "two years later", "ConsentRenewed": "a grant again",
	"CustomerDataDeleted": "the erasure itself", "CustomerDataDeletionRequested": "the erasure itself", "CustomerEmailInvalidated": "a reason of ours", "CustomerSegmentRemoved": "a segment of ours",
	"CustomerTraitsClaimed": "sealed whole", "EmailVerified": "an id of ours", "IdentityClaimed": "is the visitors'", "IdentityReleased": "is the visitors'", "VisitorIdentified": "is the visitors'",
	"InventoryChanged": "of products", "PriceChanged": "of products", "MessageFailed": "of our messages", "MessageSuppressed": "of our messages",
	"PaymentAbandoned": "as PaymentFailed", "PaymentRetryScheduled": "as PaymentFailed", "RefundDelayed": "as PaymentFailed", "RefundFailed": "as PaymentFailed", "RefundReversed": "as PaymentFailed",
	"ProductAffinityDetected": "as TouchpointRecorded", "SourceChanged": "of sources", "SourceCreated": "of sources", "WriteKeyIssued": "of sources", "WriteKeyRetired": "of sources",
}

// expectEveryType: the story has every type of event there is.
func (c customer) expectEveryType() {
	c.Helper()
	told := map[string]bool{}
	for cursor := ""; ; {
		page := c.get(c.path("/events?limit=500&cursor=" + cursor)).expect(200)
		for _, e := range page.list("events") {
			told[fmt.Sprint(e["type"])] = true
		}
		if cursor = page.text("nextCursor"); cursor == "" {
			break
		}
	}
	for _, name := range catalog.New().Names() {
		if why, ok := untold[name]; told[name] == ok {
			c.Errorf("%s is told: %v (%s)", name, told[name], why)
		}
	}
}

// search returns the files below a folder in which a text stands, as it is or encoded, with the text.
func search(t testing.TB, dir string, texts ...string) []string {
	t.Helper()
	forms := map[string][]byte{}
	for _, text := range texts {
		forms[text] = []byte(text)
		forms[text+" in hexadecimal"] = []byte(hex.EncodeToString([]byte(text)))
		for before := range 3 { // wherever in the encoded bytes it begins
			padded := append(make([]byte, before), text...)
			for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
				inner := encoding.EncodeToString(padded)
				forms[fmt.Sprint(text, " in ", name, before)] = []byte(inner[(before*8+5)/6 : len(inner)-1])
			}
		}
	}
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // as SQLite's own files come and go
		}
		for form, bytesOf := range forms {
			if bytes.Contains(data, bytesOf) {
				name, _ := filepath.Rel(dir, path)
				found = append(found, name+": "+form)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func TestSearchFindsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	for i, before := range []string{"", "a", "ab", "abc"} {
		text := before + "ada.lovelace@mail.example" + before
		for name, data := range map[string]string{
			"plain": text, "hex": hex.EncodeToString([]byte(text)), "base64": base64.StdEncoding.EncodeToString([]byte(text)), "base64url": base64.URLEncoding.EncodeToString([]byte(text)),
		} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(name, i)), []byte("…"+data+"…"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := map[string]bool{}
	for _, found := range search(t, dir, "ada.lovelace@mail.example") {
		file, _, _ := strings.Cut(found, ":")
		files[file] = true
	}
	if len(files) != 16 {
		t.Errorf("found in %d of 16 files: %v", len(files), files)
	}
	if found := search(t, dir, "grace"); len(found) > 0 {
		t.Errorf("found what is not there: %v", found)
	}
}

// After an erasure, not one byte of what was personal is left on the disk: not in the engine's files or its log of
// writes, not in the program's log, not in the mailbox.
func TestErasedToTheLastByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := program(t, dir)
	c := tell(s)
	for _, known := range []string{"PAYMENTS#local", c.id} { // the search sees into the engine's files
		if found := search(t, dir, known); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, "sqlite") }) {
			t.Errorf("%s is not found in the database: %v", known, found)
		}
	}
	c.expectEveryType()
	if found := search(t, dir, c.email); len(found) == 0 || slices.ContainsFunc(found, func(f string) bool { return !strings.HasPrefix(f, "mailbox") }) {
		t.Errorf("before, the address is in %v, want the mailbox alone", found)
	}

	c.with("Idempotency-Key", unique("key")).post(c.path("/erasure"), m{}).expect(200)
	eventually(t, "nothing left to do", func() bool { return s.get("/_local/stats").number("lag") == 0 })
	if found := search(t, dir, secrets...); len(found) > 0 {
		t.Errorf("while it runs: %v", found)
	}
	s.end(syscall.SIGKILL)
	if found := search(t, dir, secrets...); len(found) > 0 {
		t.Errorf("killed: %v", found)
	}

	s = program(t, dir) // and nothing brings it back
	c.story = s
	c.shown().refused(404, "customer-erased")
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
	s.advance("1000h")
	again := s.registers("email", "ada.lovelace@mail.example")
	s.mailed("ada.lovelace@mail.example", 1)
	again.post(again.path("/erasure"), m{}).expect(200)
	s.end(syscall.SIGTERM)
	if found := search(t, dir, secrets...); len(found) > 0 {
		t.Errorf("stopped: %v", found)
	}
	if found := search(t, dir, c.id); len(found) == 0 {
		t.Error("that somebody was erased is forgotten too")
	}
}

func TestWhatIsLeftOfTheErased(t *testing.T) {
	s := begin(t)
	c := tell(s)
	s.settled()
	visitors, _ := c.shown().at("visitors").([]any)
	c.post(c.path("/erasure"), m{}).expect(200)
	s.settled()

	for key := range s.items(topology.Views) {
		stream, row, _ := strings.Cut(key, " ")
		switch {
		case strings.HasSuffix(stream, "#v-77"), strings.HasSuffix(stream, "#u-88"): // who turned out to be somebody else
		case strings.HasPrefix(row, "AUDIT#"), strings.HasPrefix(stream, "COMPLIANCE#"), strings.HasPrefix(stream, "ERASED#"), stream == "PAYMENTS#local", strings.HasPrefix(stream, "QUARANTINE#"), strings.HasPrefix(stream, "QUARANTINED#"), stream == "CHECKPOINT": // the latter a keyed hash of a message's id
		case row == view.Profiles.Name, row == view.Consents.Name, row == view.Preferences.Name:
			if item := s.items(topology.Views)[key]; strings.Contains(item, `"p":`) || strings.Contains(item, "analytics") || strings.Contains(item, "shoes") {
				t.Errorf("left: %s %s", key, item)
			}
		case strings.HasPrefix(row, "TIMELINE#"):
			if item := s.items(topology.Views)[key]; !strings.Contains(item, "CustomerDataDeleted") {
				t.Errorf("left: %s %s", key, item)
			}
		default:
			t.Errorf("left: %s", key)
		}
	}
	for key := range s.items(topology.Events) {
		if strings.HasPrefix(key, "UNIQUE#email#") || strings.Contains(key, " S#") {
			t.Errorf("left: %s", key)
		}
	}
	streams := []string{"CUSTOMER#" + c.id}
	for _, visitor := range visitors {
		streams = append(streams, fmt.Sprint("VISITOR#", visitor))
	}
	for _, stream := range streams {
		if item := s.items(topology.Keys)[stream+" #"]; !strings.Contains(item, "gone") || strings.Contains(item, `"w"`) {
			t.Errorf("the data key of %s: %s", stream, item)
		}
	}
	if boxes, err := os.ReadDir(filepath.Join(s.system.config.DataDir, "mailbox")); err != nil || len(boxes) > 0 {
		t.Errorf("the mailbox has %v %v", boxes, err)
	}
	for _, row := range s.itemsWith(topology.Views, "QUARANTINE#") { // what was about them cannot be opened
		if slices.ContainsFunc(streams, func(stream string) bool { return strings.Contains(row, stream) }) {
			continue
		}
		if !strings.Contains(row, quarantineSystem) {
			t.Errorf("quarantined for somebody else: %s", row)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	s.registers("email", c.email)
}

// quarantineSystem is whose key seals what names nobody.
const quarantineSystem = "SYSTEM#quarantine"

// postponing is a provider that takes nothing while it is told not to.
type postponing struct {
	app.Provider
	busy atomic.Bool
	put  atomic.Int64 // off
}

func (p *postponing) Send(ctx context.Context, mail app.Mail) (string, error) {
	if p.busy.Load() {
		p.put.Add(1)
		return "", fault.New(fault.Busy, "provider-busy", "later")
	}
	return p.Provider.Send(ctx, mail)
}

func TestErasedWithMailsUnderWay(t *testing.T) {
	provider := new(postponing)
	provider.busy.Store(true)
	s := beginWith(t, func(s *System) { provider.Provider, s.App.Email = s.App.Email, provider })
	c := s.consents()
	eventually(t, "the mail is put off", func() bool { return provider.put.Load() > 0 })
	c.expectErased()
	provider.busy.Store(false)
	s.settled()
	c.expectMails()
	if rows := s.itemsWith(topology.Views, "CUSTOMER#"+c.id+" "); len(rows) > 0 {
		t.Errorf("left: %v", rows)
	}
	for key := range s.items(topology.Views) {
		if strings.Contains(key, "MSG#") {
			t.Errorf("the ledger remembers %s", key)
		}
	}
}

func (c customer) expectErased() {
	c.Helper()
	c.post(c.path("/erasure"), m{}).expect(200)
	c.shown().refused(404, "customer-erased")
}

// Customers who are erased while everything about them is still being worked on.
func TestErasedAtOnce(t *testing.T) {
	s := begin(t)
	replies := s.together(12, func(i int) *reply {
		return s.try("POST", "/v1/customers", m{"email": fmt.Sprintf("at-once-%d@mail.example", i), "marketingConsent": true, "termsAccepted": true})
	})
	for _, a := range s.together(12, func(i int) *reply {
		return s.try("POST", "/v1/customers/"+replies[i].text("customerId")+"/erasure", m{})
	}) {
		a.expect(200)
	}
	s.settled()
	s.advance("25h")
	s.settled()
	for i, a := range replies {
		c := customer{s, a.text("customerId"), fmt.Sprintf("at-once-%d@mail.example", i)}
		c.shown().refused(404, "customer-erased")
		c.expectMails()
	}
	for key, item := range s.items(topology.Views) {
		if strings.Contains(key, "MSG#") || strings.HasPrefix(key, "CONSENTED#") || strings.HasPrefix(key, "DUE#") {
			t.Errorf("left: %s %s", key, item)
		}
	}
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
}
