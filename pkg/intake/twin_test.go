package intake_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/ingest"
	"defter/pkg/intake"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// clumsy says the same as a plain sender does, as JSON, in one of the ways of others.
type clumsy struct {
	*rapid.T
	plain bool
}

func (c clumsy) oneOf(forms ...string) string {
	if c.plain {
		return forms[0]
	}
	return rapid.SampledFrom(forms).Draw(c.T, "form")
}

func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// number is a number with so many decimal digits, in units of its last one.
func (c clumsy) number(n int64, digits int) string {
	text := strconv.FormatInt(n, 10)
	for len(text) <= digits {
		text = "0" + text
	}
	whole, fraction := text[:len(text)-digits], text[len(text)-digits:]
	point := strings.TrimSuffix(whole+"."+fraction, ".")
	forms := []string{point, quoted(point), quoted(" " + point + " "), fmt.Sprintf("%se-%d", strconv.FormatInt(n, 10), digits)}
	if digits == 0 {
		forms = append(forms, point+".0", point+".000", quoted(point+".000"), quoted("+"+point))
	} else {
		forms = append(forms, point+"00", quoted(point+"00"))
	}
	if digits == 2 {
		forms = append(forms, quoted(whole+","+fraction))
	}
	return c.oneOf(forms...)
}

// text is a text that is compared in one form, such as an id.
func (c clumsy) id(text string) string {
	return c.oneOf(quoted(text), quoted(norm.NFD.String(text)), quoted(" "+text+"\t"), quoted(text[:1]+"\u200b"+text[1:]), quoted("\u202a"+text+"\u202c"))
}

func (c clumsy) text(text string) string { return c.oneOf(quoted(text), quoted(norm.NFD.String(text))) }

func (c clumsy) currency(code string) string {
	forms := map[string][]string{"TRY": {"TL", "try", "TRY ", "₺", "949"}, "EUR": {"€", "eur", "Euro", " EUR"}, "USD": {"usd", "US$", "840"}, "JPY": {"jpy", "392"}}[code]
	all := []string{quoted(code)}
	for _, form := range forms {
		all = append(all, quoted(form))
	}
	return c.oneOf(all...)
}

func (c clumsy) time(at time.Time) string {
	istanbul := at.In(time.FixedZone("", 3*60*60))
	return c.oneOf(
		quoted(at.Format("2006-01-02T15:04:05.000Z")), quoted(at.Format("2006-01-02 15:04:05.000Z")), quoted(istanbul.Format("2006-01-02T15:04:05.000-0700")), quoted(istanbul.Format("2006-01-02 15:04:05,000 -07:00")),
		quoted(at.Format("20060102T150405.000Z")), quoted(at.Format("2006-01-02T15:04:05.000:Z")), strconv.FormatInt(at.UnixMilli(), 10), quoted(strconv.FormatInt(at.UnixMilli(), 10)),
		quoted(at.Format("2006-01-02T15:04:05.000000Z[UTC]")),
	)
}

// member is a member that says something, by one of its names.
func (c clumsy) member(value string, names ...string) string {
	return quoted(c.oneOf(names...)) + ":" + value
}

// nothing is a member that says nothing, which is as good as none.
func (c clumsy) nothing(name string) []string {
	if c.plain {
		return nil
	}
	return rapid.SampledFrom([][]string{nil, {quoted(name) + ":null"}, {quoted(name) + `:""`}}).Draw(c.T, "nothing")
}

func (c clumsy) emptyObject(name string) []string {
	if c.plain {
		return nil
	}
	return rapid.SampledFrom([][]string{nil, {quoted(name) + ":{}"}, {quoted(name) + ":[]"}, {quoted(name) + ":null"}}).Draw(c.T, "empty")
}

// story is what a sender has to tell.
type story struct {
	Kind, User, Product, Order, Name, Category, City, Currency string
	Price, Total, Quantity, Post                               int64
	At                                                         time.Time
}

var texts = rapid.SampledFrom([]string{"Çağrı", "Müller", "café 1", "Zoë", "plain", "é1"})

func stories(t *rapid.T) story {
	return story{
		Kind: rapid.SampledFrom([]string{"Order Completed", "Product Viewed", "Product Added", "Order Refunded", "identify", "page", "group"}).Draw(t, "kind"),
		User: "u-" + texts.Draw(t, "user"), Product: "p-" + texts.Draw(t, "product"), Order: "o-" + texts.Draw(t, "order"), Name: texts.Draw(t, "name"), Category: texts.Draw(t, "category"),
		City: texts.Draw(t, "city"), Currency: rapid.SampledFrom([]string{"TRY", "EUR", "USD", "JPY"}).Draw(t, "currency"),
		Price: rapid.Int64Range(0, 999_99).Draw(t, "price"), Total: rapid.Int64Range(1, 999_99).Draw(t, "total"), Quantity: rapid.Int64Range(1, 999).Draw(t, "quantity"), Post: rapid.Int64Range(1000, 99999).Draw(t, "post"),
		At: now.Add(-time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "ago")) * time.Millisecond),
	}
}

// told is the story as one sender tells it: the message's type and body.
func (s story) told(c clumsy) (kind, body string) {
	members := []string{`"messageId":"m1"`, c.member(c.id(s.User), "userId"), c.member(c.time(s.At), "timestamp")}
	members = append(members, c.emptyObject("context")...)
	members = append(members, c.nothing("anonymousId")...)
	product := []string{
		c.member(c.id(s.Product), "product_id", "productId", "ProductID"), c.member(c.text(s.Name), "name", "Name"), c.member(c.text(s.Category), "category"),
		c.member(c.number(s.Price, 2), "price", "Price"), c.member(c.number(s.Quantity, 0), "quantity"),
	}
	money := c.member(c.currency(s.Currency), "currency", "Currency")
	object := func(members ...string) string { return "{" + strings.Join(members, ",") + "}" }
	switch s.Kind {
	case "identify":
		address := object(c.member(c.text(s.City), "city", "City"), c.member(c.oneOf(quoted(fmt.Sprint(s.Post)), fmt.Sprint(s.Post), fmt.Sprint(s.Post)+".0"), "postalCode", "postal_code"))
		traits := []string{c.member(c.text(s.Name), "firstName", "first_name", "First Name"), c.member(c.oneOf(quoted("49301234"), "49301234"), "phone"), c.member(address, "address")}
		return "identify", object(append(members, c.member(object(traits...), "traits"))...)
	case "group":
		return "group", object(append(append(members, c.member(c.id(s.Product), "groupId", "group_id")), c.emptyObject("traits")...)...)
	case "page":
		return "page", object(append(append(members, c.member(c.text(s.Name), "name")), c.emptyObject("properties")...)...)
	}
	var properties []string
	switch s.Kind {
	case "Order Completed":
		properties = []string{
			c.member(c.id(s.Order), "order_id", "orderId"), c.member(c.number(s.Total, 2), "total"), money,
			c.member(c.oneOf("["+object(product...)+"]", object(product...)), "products"),
		}
		properties = append(properties, c.nothing("discount")...)
	case "Order Refunded":
		properties = []string{c.member(c.id(s.Order), "order_id", "orderId"), c.member(c.number(s.Total, 2), "total"), money}
	case "Product Added":
		properties = append(product, money, c.member(c.id(s.Order), "cart_id", "cartId"))
	default:
		properties = append(product, money)
	}
	return "track", object(append(members, `"event":`+quoted(s.Kind), c.member(object(properties...), "properties"))...)
}

// become is what a message becomes, of somebody who was never heard of; what it reports of an order, as it is reported.
func become(t *rapid.T, source ingest.Source, kind, body string) (events []eventstore.New, reports any, unread []string) {
	parsed, err := ingest.Parse([]byte(body), kind, now)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	m := parsed.Messages[0]
	report := intake.Report(m, source)
	message := intake.Message{Message: m, Fingerprint: "f1", Part: intake.Rest}
	events, err = intake.Decide(intake.State{}, intake.Take{Customer: true, Source: source, Messages: []intake.Message{message}, Now: now})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, e := range events {
		unread = append(unread, e.Notes...)
	}
	return events, []any{m.UserID, report}, unread
}

// TestP5_ClumsyTwinsSayTheSame: numbers as texts, lists for objects, other forms of times, other ways of writing a name or a character
// change nothing of what a message means.
func TestP5_ClumsyTwinsSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stories(t)
		source := server
		if strings.HasPrefix(s.Kind, "Product") || s.Kind == "page" { // what a page says of the rest is kept as it came
			source = rapid.SampledFrom([]ingest.Source{browser, server}).Draw(t, "source")
		}
		kind, body := s.told(clumsy{t, true})
		events, reports, unread := become(t, source, kind, body)
		_, twin := s.told(clumsy{t, false})
		others, otherReports, otherUnread := become(t, source, kind, twin)
		if !reflect.DeepEqual(events, others) || !reflect.DeepEqual(reports, otherReports) || !reflect.DeepEqual(unread, otherUnread) {
			t.Fatalf("%s\nbecomes %+v\nreports %+v\nand %s\nbecomes %+v\nreports %+v, notes %q", body, events, reports, twin, others, otherReports, otherUnread)
		}
		if slices.ContainsFunc(unread, func(note string) bool { return !strings.HasSuffix(note, ":rounded") }) { // of a currency without cents
			t.Fatalf("%s has the notes %q", body, unread)
		}
	})
}
