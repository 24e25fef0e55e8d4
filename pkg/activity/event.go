// Package activity holds what customers and visitors do on sites and in apps: facts, recorded as they came. A known
// event has a type of its own; any other track event is kept whole as EventTracked.
package activity

import (
	"defter/pkg/eventstore"
	"encoding/json"
)

// Context is where something was done.
type Context struct {
	IPAddress string `json:"ipAddress,omitempty" jsonschema:"maxLength=45"`
	UserAgent string `json:"userAgent,omitempty" jsonschema:"maxLength=512"`
	Locale    string `json:"locale,omitempty" jsonschema:"maxLength=35"`
	Timezone  string `json:"timezone,omitempty" jsonschema:"maxLength=64"`
	PageURL   string `json:"pageUrl,omitempty" jsonschema:"maxLength=2048"`
	Referrer  string `json:"referrer,omitempty" jsonschema:"maxLength=2048"`
	// OriginalTimestamp is the client's own time where it lay too far in the future to be believed.
	OriginalTimestamp string `json:"originalTimestamp,omitempty" jsonschema:"maxLength=64"`
}

// PageViewed: a page was shown.
type PageViewed struct {
	PageURL    string          `json:"pageUrl,omitempty" pii:"url" jsonschema:"maxLength=2048"`
	PageTitle  string          `json:"pageTitle,omitempty" pii:"text" jsonschema:"maxLength=500"`
	Referrer   string          `json:"referrer,omitempty" pii:"url" jsonschema:"maxLength=2048"`
	Name       string          `json:"name,omitempty" pii:"text" jsonschema:"maxLength=200"`
	Category   string          `json:"category,omitempty" pii:"text" jsonschema:"maxLength=200"`
	SessionID  string          `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Properties json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context    *Context        `json:"context,omitempty" pii:"device"`
}

// ScreenViewed: an app's screen was shown.
type ScreenViewed struct {
	Name       string          `json:"name,omitempty" pii:"text" jsonschema:"maxLength=200"`
	Category   string          `json:"category,omitempty" pii:"text" jsonschema:"maxLength=200"`
	SessionID  string          `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Properties json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context    *Context        `json:"context,omitempty" pii:"device"`
}

// ProductViewed: a product was looked at.
type ProductViewed struct {
	ProductID       string   `json:"productId" pii:"unless-opaque" jsonschema:"maxLength=200"`
	ProductName     string   `json:"productName,omitempty" pii:"unless-opaque" jsonschema:"maxLength=500"`
	ProductCategory string   `json:"productCategory,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	PriceMinor      int64    `json:"priceMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency        string   `json:"currency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	ViewSource      string   `json:"viewSource,omitempty" pii:"-" jsonschema:"enum=search,enum=category,enum=recommendation,enum=direct"`
	SessionID       string   `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Context         *Context `json:"context,omitempty" pii:"device"`
}

// SearchPerformed: something was searched for.
type SearchPerformed struct {
	Query        string   `json:"query" pii:"text" jsonschema:"maxLength=1000"`
	ResultsCount *int64   `json:"resultsCount,omitempty" pii:"-"`
	SessionID    string   `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Context      *Context `json:"context,omitempty" pii:"device"`
}

// ItemAddedToCart: a product was put into a cart.
type ItemAddedToCart struct {
	CartID      string   `json:"cartId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	ProductID   string   `json:"productId" pii:"unless-opaque" jsonschema:"maxLength=200"`
	ProductName string   `json:"productName,omitempty" pii:"unless-opaque" jsonschema:"maxLength=500"`
	Quantity    int64    `json:"quantity,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000"`
	PriceMinor  int64    `json:"priceMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency    string   `json:"currency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	Context     *Context `json:"context,omitempty" pii:"device"`
}

// ItemRemovedFromCart: a product was taken out of a cart.
type ItemRemovedFromCart struct {
	CartID    string   `json:"cartId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	ProductID string   `json:"productId" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Quantity  int64    `json:"quantity,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000"`
	Context   *Context `json:"context,omitempty" pii:"device"`
}

// CartViewed: a cart was looked at.
type CartViewed struct {
	CartID  string   `json:"cartId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Context *Context `json:"context,omitempty" pii:"device"`
}

// CheckoutStarted: a checkout began.
type CheckoutStarted struct {
	CartID         string   `json:"cartId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	OrderID        string   `json:"orderId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	CartValueMinor int64    `json:"cartValueMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency       string   `json:"currency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	ItemCount      int64    `json:"itemCount,omitempty" pii:"-"`
	Context        *Context `json:"context,omitempty" pii:"device"`
}

// CheckoutStepCompleted: a step of a checkout was done.
type CheckoutStepCompleted struct {
	CheckoutID string   `json:"checkoutId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Step       string   `json:"step,omitempty" pii:"-" jsonschema:"enum=shipping,enum=payment,enum=review"`
	StepNumber int64    `json:"stepNumber" pii:"-"`
	Context    *Context `json:"context,omitempty" pii:"device"`
}

// ProductCompared: products were set side by side.
type ProductCompared struct {
	ProductIDs           []string        `json:"productIds" pii:"unless-opaque" jsonschema:"maxItems=100"`
	ComparisonAttributes []string        `json:"comparisonAttributes,omitempty" pii:"text" jsonschema:"maxItems=100"`
	SessionID            string          `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Properties           json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context              *Context        `json:"context,omitempty" pii:"device"`
}

// ReviewRead: what others say about a product was read.
type ReviewRead struct {
	ProductID  string          `json:"productId" pii:"unless-opaque" jsonschema:"maxLength=200"`
	ReviewID   string          `json:"reviewId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Rating     string          `json:"rating,omitempty" pii:"unless-opaque" jsonschema:"maxLength=10"`
	SessionID  string          `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Properties json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context    *Context        `json:"context,omitempty" pii:"device"`
}

// VideoWatched: a video was watched, for WatchDuration of TotalDuration seconds. CompletionRate is in percent.
type VideoWatched struct {
	VideoID        string          `json:"videoId" pii:"unless-opaque" jsonschema:"maxLength=200"`
	ProductID      string          `json:"productId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	WatchDuration  int64           `json:"watchDuration,omitempty" pii:"-"`
	TotalDuration  int64           `json:"totalDuration,omitempty" pii:"-"`
	CompletionRate int64           `json:"completionRate,omitempty" pii:"-"`
	SessionID      string          `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Properties     json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context        *Context        `json:"context,omitempty" pii:"device"`
}

// ExperimentExposed: a variation of an experiment was shown.
type ExperimentExposed struct {
	ExperimentID   string          `json:"experimentId" pii:"unless-opaque" jsonschema:"maxLength=200"`
	ExperimentName string          `json:"experimentName,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	VariationID    string          `json:"variationId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	VariationName  string          `json:"variationName,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Properties     json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context        *Context        `json:"context,omitempty" pii:"device"`
}

// SignedUp: an account was made.
type SignedUp struct {
	Method     string          `json:"method,omitempty" pii:"text" jsonschema:"maxLength=100"`
	Properties json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context    *Context        `json:"context,omitempty" pii:"device"`
}

// LoggedIn: somebody proved to be the account's owner.
type LoggedIn struct {
	Method     string          `json:"method,omitempty" pii:"text" jsonschema:"maxLength=100"`
	Properties json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context    *Context        `json:"context,omitempty" pii:"device"`
}

// EventTracked: any other track event, as it came.
type EventTracked struct {
	Event      string          `json:"event" pii:"text" jsonschema:"maxLength=200"`
	Properties json.RawMessage `json:"properties,omitempty" pii:"properties"`
	Context    *Context        `json:"context,omitempty" pii:"device"`
}

// Identified: an anonymous visitor gave traits without saying who they are.
type Identified struct {
	Traits  map[string]any `json:"traits,omitempty" pii:"traits"`
	Context *Context       `json:"context,omitempty" pii:"device"`
}

// bounded is the upcaster of a version that has bounds. What was stored before may be beyond them: folds take it as far as it goes.
func bounded(data map[string]any) map[string]any { return data }

// Events are the event types of this package. All but what visitors say of themselves are behaviour, which pkg/retention archives.
var Events = append(eventstore.Behaviour(
	eventstore.Declare[PageViewed]("PageViewed"),
	eventstore.Declare[ScreenViewed]("ScreenViewed"),
	eventstore.Declare[ProductViewed]("ProductViewed", bounded),
	eventstore.Declare[SearchPerformed]("SearchPerformed"),
	eventstore.Declare[ItemAddedToCart]("ItemAddedToCart", bounded),
	eventstore.Declare[ItemRemovedFromCart]("ItemRemovedFromCart", bounded),
	eventstore.Declare[CartViewed]("CartViewed"),
	eventstore.Declare[CheckoutStarted]("CheckoutStarted", bounded),
	eventstore.Declare[CheckoutStepCompleted]("CheckoutStepCompleted"),
	eventstore.Declare[ProductCompared]("ProductCompared"),
	eventstore.Declare[ReviewRead]("ReviewRead"),
	eventstore.Declare[VideoWatched]("VideoWatched"),
	eventstore.Declare[ExperimentExposed]("ExperimentExposed"),
	eventstore.Declare[SignedUp]("CustomerSignedUp"),
	eventstore.Declare[LoggedIn]("CustomerLoggedIn"),
	eventstore.Declare[EventTracked]("EventTracked"),
), eventstore.Declare[Identified]("VisitorIdentified"))
