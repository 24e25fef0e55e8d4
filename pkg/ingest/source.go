package ingest

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// Source is who sends, known by its write key.
type Source struct {
	ID             string
	Kind           string   // browser, mobile, server or webhook
	Trusted        bool     // a server of ours: may say what was ordered and paid. A browser's key is public and may not.
	AllowedOrigins []string // of web pages, empty for any
	AllowedEvents  []string // names of track events, empty for any
	RefuseUnknown  bool     // track events that no specification knows
	NeedConsent    bool     // keep behaviour only with analytics consent
	Rate           int64    // requests a second, 0 for any

	MessagesPerRequest int   // at most
	MessagesPerMinute  int64 // 0 for any; likewise the next
	NewPeoplePerMinute int64 // customers and visitors who were never heard of
}

// spec is every track event of the e-commerce, email, experiment and consent specifications of Segment, version 2, in
// the order of its documentation, and the others that are understood.
var spec = []string{
	"Products Searched", "Product List Viewed", "Product List Filtered", "Promotion Viewed", "Promotion Clicked", "Product Clicked", "Product Viewed",
	"Product Added", "Product Removed", "Cart Viewed", "Checkout Started", "Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered",
	"Order Updated", "Order Completed", "Order Refunded", "Order Cancelled", "Coupon Entered", "Coupon Applied", "Coupon Denied", "Coupon Removed",
	"Product Added to Wishlist", "Product Removed from Wishlist", "Wishlist Product Added to Cart", "Product Shared", "Cart Shared", "Product Reviewed",
	"Email Delivered", "Email Opened", "Email Link Clicked", "Email Bounced", "Email Marked as Spam", "Unsubscribed", "Experiment Viewed",
	RefundFailed, preferenceEvents[0], preferenceEvents[1], preferenceEvents[2], "Products Compared", "Product Compared", "Review Read", "Product Review Read", "Video Watched",
	"Video Playback Started", "Video Playback Completed", "Video Content Started", "Video Content Completed", "Signed Up", "Signed In", "Signed Out",
	"Product Affinity Detected", "Integration Synced", "Touchpoint Recorded", "Attribution Calculated",
}

// RefundFailed is the track event of money that was to go back, or was reported as given back, and did not arrive. No specification has
// it; payment services tell it in words of their own.
const RefundFailed = "Order Refund Failed"

// Refuses says why the source may not send a message, "" if it may.
func (s Source) Refuses(m Message) string {
	switch {
	case m.Type != "track":
	case len(s.AllowedEvents) > 0 && !slices.Contains(s.AllowedEvents, m.Event):
		return "this source may not send this event"
	case s.RefuseUnknown && !slices.Contains(s.AllowedEvents, m.Event) && !slices.Contains(spec, m.Means()):
		return "the event is in no specification, and this source quarantines those"
	}
	return ""
}

// Behaviour says whether a message tells what somebody did, for which analytics consent counts, rather than who they are
// or what they bought.
func Behaviour(m Message, s Source) bool {
	switch m.Type {
	case "page", "screen":
		return true
	case "track":
		return !s.Trusted || !strings.HasPrefix(m.Means(), "Order ") && !m.ofMail()
	}
	return false
}

// kinds are the last parts of the SDKs' paths, which analytics.js shortens to a letter.
var kinds = map[string]string{
	"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias", "b": "batch", "import": "batch", "replay": "batch",
}

// Kind is what a path's last part says the body is: "batch" or a message type.
func Kind(path string) string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	if kind, ok := kinds[last]; ok {
		return kind
	}
	return last
}

// Pixel makes a message's JSON of a pixel's query: data is base64 of the whole message, as Segment's pixel has it; else
// each parameter is a member, and those under properties. or context. theirs.
func Pixel(q url.Values) ([]byte, error) {
	if data := q.Get("data"); data != "" {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
			if raw, err := encoding.DecodeString(data); err == nil {
				return raw, nil
			}
		}
	}
	message := map[string]any{}
	for name, values := range q {
		if name == "writeKey" || name == "data" || len(values) == 0 {
			continue
		}
		object, member, nested := strings.Cut(name, ".")
		if !nested || object != "properties" && object != "context" {
			message[name] = values[0]
			continue
		}
		inner, _ := message[object].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
		}
		inner[member] = values[0]
		message[object] = inner
	}
	return json.Marshal(message)
}
